//! What the service speaks of: users and the state that decides whether a token is accepted.

use parlance_core::{Timestamp, UserId};

/// An account, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The name as registered.
    pub username: String,
    /// Whether the user may log in and use tokens.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the account last changed.
    pub updated_at: Timestamp,
}

/// An account that is to be stored.
#[derive(Debug)]
pub(crate) struct NewUser<'a> {
    pub(crate) username: &'a str,
    pub(crate) folded_username: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) created_at: Timestamp,
}

/// What a log-in has to know of a user.
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) is_active: bool,
    pub(crate) password_hash: String,
}

/// A user and the name that was asked for.
#[derive(Debug)]
pub(crate) struct FoundUser {
    pub(crate) requested_username: String,
    pub(crate) user: User,
}

/// An issued token.
pub(crate) struct AccessToken {
    pub(crate) token: String,
    pub(crate) expires_in_s: i64,
}

/// A key that verifiers accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) ed25519: Vec<u8>,
}

/// What verifiers of tokens have to know at one moment.
#[derive(Debug)]
pub(crate) struct AccessState {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) inactive_user_ids: Vec<UserId>,
}
