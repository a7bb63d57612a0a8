//! The codes of close frames.

use parlance_core::ErrorCode;

/// Why a connection is closed. From the server's code the client learns whether to reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    /// The client has sent nothing for too long: reconnect.
    pub(crate) const GOING_AWAY: Self = Self(1001);
    /// The client broke the protocol: do not reconnect before it is repaired.
    pub(crate) const PROTOCOL_ERROR: Self = Self(1002);
    /// Stands for a close frame without a code (RFC 6455, section 7.1.5). Never sent as a code.
    pub(crate) const NO_STATUS: Self = Self(1005);
    /// A text or the reason of a close frame was no UTF-8.
    pub(crate) const NOT_UTF8: Self = Self(1007);
    /// A message was too large: do not send it again.
    pub(crate) const TOO_BIG: Self = Self(1009);
    /// The server restarts: reconnect.
    pub(crate) const RESTART: Self = Self(1012);
    /// The server cannot serve at present: reconnect later.
    pub(crate) const TRY_AGAIN: Self = Self(1013);
    /// The token is missing, invalid or expired: get a new one first.
    pub(crate) const UNAUTHENTICATED: Self = Self(4401);
    /// The session has ended, or the user is inactive: log in first.
    pub(crate) const SESSION_ENDED: Self = Self(4403);
    /// No `auth` frame arrived in time.
    pub(crate) const AUTH_TIMEOUT: Self = Self(4408);
    /// The client does not read fast enough: reconnect with `after_seq`.
    pub(crate) const TOO_SLOW: Self = Self(4429);

    /// Returns the code for a token that is refused.
    pub(crate) fn for_refused_token(code: ErrorCode) -> Self {
        match code {
            ErrorCode::SessionRevoked | ErrorCode::InactiveUser => Self::SESSION_ENDED,
            _ => Self::UNAUTHENTICATED,
        }
    }

    /// Returns true if a client may send this code (RFC 6455, section 7.4, and the registry of
    /// IANA).
    pub(crate) fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Encodes the payload of a close frame.
    pub(crate) fn payload(self) -> Vec<u8> {
        if self == Self::NO_STATUS { Vec::new() } else { self.0.to_be_bytes().to_vec() }
    }
}
