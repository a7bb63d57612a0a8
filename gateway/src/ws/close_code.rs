//! The close codes of the server.

/// Why the server closes a connection. The client learns from it whether to reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    /// The client has sent nothing for too long: reconnect.
    pub(crate) const GOING_AWAY: Self = Self(1001);
    /// A frame was too large: do not send it again.
    pub(crate) const TOO_BIG: Self = Self(1009);
    /// The server restarts: reconnect.
    pub(crate) const RESTART: Self = Self(1012);
    /// The server cannot serve at present: reconnect later.
    pub(crate) const TRY_AGAIN: Self = Self(1013);
    /// The token is missing, invalid or expired, or its user is inactive.
    pub(crate) const UNAUTHENTICATED: Self = Self(4401);
    /// No frame arrived in time.
    pub(crate) const AUTH_TIMEOUT: Self = Self(4408);
    /// The client does not read fast enough: reconnect with `after_seq`.
    pub(crate) const TOO_SLOW: Self = Self(4429);
}
