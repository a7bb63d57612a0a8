//! SQL, one table a file. No rules, no transactions.

pub(crate) mod access_revision;
pub(crate) mod ended_access;
pub(crate) mod refresh_tokens;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod users;
