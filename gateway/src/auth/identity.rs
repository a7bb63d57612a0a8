//! The user of a request, and the token that proves it.

use std::sync::Arc;

use parlance_core::{SessionId, Timestamp, UserId};
use parlance_proto::auth::CallerToken;

/// The user that a token was issued to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user_id: UserId,
    /// The username. It never changes.
    pub(crate) username: String,
    pub(crate) token: Token,
}

/// The claims of a token, apart from its user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// The session (claim `sid`). Tokens from before sessions existed have none.
    pub(crate) session_id: Option<SessionId>,
    /// The id of the token (claim `jti`).
    pub(crate) id: Box<str>,
    /// The second in which it was issued (claim `iat`), since the Unix epoch.
    pub(crate) issued_at_s: i64,
    pub(crate) expires_at: Timestamp,
    /// The key that has signed it.
    pub(crate) kid: Arc<str>,
}

impl Token {
    /// Stands for the token of a user inside the gateway, which is never checked.
    pub(crate) fn internal() -> Self {
        Self {
            session_id: None,
            id: Box::default(),
            issued_at_s: 0,
            expires_at: Timestamp::from_micros(i64::MAX),
            kid: Arc::default(),
        }
    }
}

impl From<&Identity> for CallerToken {
    fn from(identity: &Identity) -> Self {
        let token = &identity.token;
        Self {
            user_id: identity.user_id.get(),
            session_id: token.session_id.map(SessionId::get),
            token_id: token.id.to_string(),
            expires_at_s: token.expires_at.as_seconds(),
        }
    }
}
