//! Users and the access state, as the use cases see them.

use parlance_core::{Timestamp, UserId};

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
    /// Grows when another password is set.
    pub(crate) password_version: i64,
}

/// A user and the name in the request that found them.
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
    /// When the last token signed by the old key expires.
    pub old_key_retires_at: Timestamp,
}

/// What verifiers of tokens have to know at one moment.
#[derive(Debug)]
pub(crate) struct AccessState {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) inactive_user_ids: Vec<UserId>,
}
