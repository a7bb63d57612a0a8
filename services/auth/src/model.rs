//! Users, sessions and the access state, as the use cases see them.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{SessionId, Timestamp, UserId};

use crate::refresh_token::TokenHash;

/// An account without its password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    /// The name as registered.
    pub(crate) username: String,
    /// True if the user may log in and use tokens.
    pub(crate) is_active: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The name to show, if it is set.
    pub(crate) display_name: Option<String>,
    pub(crate) avatar_url: Option<String>,
}

/// A change of a text that need not be set: the new text, or none to clear it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextChange<T> {
    Keep,
    Set(Option<T>),
}

/// An account to store.
#[derive(Debug)]
pub(crate) struct NewUser<'a> {
    pub(crate) username: &'a str,
    pub(crate) folded_username: &'a str,
    /// Absent if no password opens the account.
    pub(crate) password_hash: Option<&'a str>,
    pub(crate) created_at: Timestamp,
}

/// What a log-in is checked against.
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) is_active: bool,
    /// Absent if the account has no password.
    pub(crate) password_hash: Option<String>,
    /// How often all sessions of the user had been ended at once.
    pub(crate) end_all_count: i64,
}

/// The account of an identity.
#[derive(Debug)]
pub(crate) struct IdentityAccount {
    pub(crate) user: User,
    /// As in [`Credentials`].
    pub(crate) end_all_count: i64,
}

/// A user and the name in the request that found them.
#[derive(Debug)]
pub(crate) struct FoundUser {
    pub(crate) requested_username: String,
    pub(crate) user: User,
}

/// The tokens of a session. Secrets, so never printed.
pub(crate) struct Tokens {
    pub(crate) session_id: SessionId,
    pub(crate) access_token: String,
    pub(crate) expires_in: Duration,
    /// The text of the refresh token, and how long it lives.
    pub(crate) refresh_token: Option<(String, Duration)>,
}

/// A session to store.
pub(crate) struct NewSession<'a> {
    /// The generation of the keys that sign its tokens.
    pub(crate) generation: i64,
    /// When it ends if it is not renewed.
    pub(crate) expires_in: Duration,
    /// When it ends at the latest.
    pub(crate) ends_in: Duration,
    pub(crate) tokens_expire_at: Timestamp,
    pub(crate) refresh_token_count: i64,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) address: Option<String>,
}

/// A live session, as its user sees it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<String>,
}

/// A live session whose row is locked.
#[derive(Debug)]
pub(crate) struct LockedSession {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    /// The time until it ends at the latest, in seconds.
    pub(crate) ends_in_s: f64,
}

/// A refresh token that a client presents.
#[derive(Debug)]
pub(crate) struct PresentedToken {
    /// Counts the tokens of the session.
    pub(crate) number: i64,
    /// The number of the token that was exchanged for this one.
    pub(crate) predecessor: Option<i64>,
    pub(crate) was_used: bool,
    /// True if it was first used so lately that it may be used again.
    pub(crate) is_in_grace: bool,
    /// True if a token has been used for which this one was exchanged.
    pub(crate) is_succeeded: bool,
}

/// A refresh token to store.
pub(crate) struct NewRefreshToken<'a> {
    pub(crate) hash: &'a TokenHash,
    pub(crate) session_id: SessionId,
    pub(crate) number: i64,
    pub(crate) predecessor: Option<i64>,
    pub(crate) ttl: Duration,
}

/// The access token of a caller, which the gateway has verified.
#[derive(Debug)]
pub(crate) struct CallerToken {
    pub(crate) user_id: UserId,
    /// `None` in tokens from before sessions existed.
    pub(crate) session_id: Option<SessionId>,
    pub(crate) token_id: String,
    pub(crate) expires_at: Timestamp,
}

/// Numbers that grow whenever something changes that decides whether a token is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revisions {
    /// Grows with keys and inactive users.
    pub(crate) access: i64,
    /// Grows with what has ended.
    pub(crate) ended: i64,
    /// Grows when all keys are replaced at once: sessions of a lower generation have ended.
    pub(crate) session_generation: i64,
    /// The number of the last change of a profile.
    pub(crate) profiles: i64,
}

/// Tokens that have ended before they expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedAccess {
    /// Grows in the order in which tokens end.
    pub(crate) number: i64,
    pub(crate) tokens: EndedTokens,
    /// When the last of the tokens expires.
    pub(crate) expires_at: Timestamp,
}

/// Which tokens have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndedTokens {
    OfSession(SessionId),
    /// The token with this id, which has no session.
    Token(Arc<str>),
    /// The tokens that have no session and were issued up to a time.
    OfUser {
        user_id: UserId,
        issued_until: Timestamp,
    },
}

/// A key that verifiers of tokens accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) ed25519: Vec<u8>,
}

/// A new key, and when it replaces the old one.
#[derive(Debug)]
pub struct Rotation {
    /// The id of the new key.
    pub kid: String,
    /// When the new key begins to sign.
    pub signs_from: Timestamp,
    /// When the last token signed by the old key expires, or when no old key is accepted any more.
    pub old_key_retires_at: Timestamp,
}

/// What verifiers of tokens have to know at one moment.
#[derive(Debug)]
pub(crate) struct AccessState {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) inactive_user_ids: Vec<UserId>,
}
