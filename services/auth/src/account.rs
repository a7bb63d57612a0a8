//! The account that a log-in names.

use aws_lc_rs::digest::{SHA256, digest};
use parlance_core::Username;

/// A name as a log-in has it, whether a user has it or not.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The folded name. Empty, which no user's is, if the name breaks the rules for names: then the
    /// look-up takes as long as any other.
    pub(crate) folded_username: String,
    pub(crate) key: AccountKey,
}

/// What failed log-ins of an account are counted by: the SHA-256 of its folded name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccountKey([u8; 32]);

impl Account {
    /// The account with this name, as a request has it.
    pub(crate) fn from_username(username: String) -> Self {
        match Username::parse(username.clone()) {
            Ok(username) => Self::from_folded_username(username.folded()),
            Err(_) => Self { folded_username: String::new(), key: AccountKey::of(&username) },
        }
    }

    /// The account of a user.
    pub(crate) fn from_folded_username(folded_username: String) -> Self {
        Self { key: AccountKey::of(&folded_username), folded_username }
    }
}

impl AccountKey {
    fn of(name: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, name.as_bytes()).as_ref());
        Self(key)
    }

    /// The bytes to store.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
