//! SQL, one table a file. No rules, no transactions.

pub(crate) mod access_revision;
pub(crate) mod signing_keys;
pub(crate) mod users;
