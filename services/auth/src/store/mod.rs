//! SQL, one table a file. No rules, no transactions.

pub(crate) mod access_revision;
pub(crate) mod ended_access;
pub(crate) mod identities;
pub(crate) mod known_networks;
pub(crate) mod log_in_failures;
pub(crate) mod log_ins;
pub(crate) mod refresh_tokens;
pub(crate) mod reset_codes;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod users;
