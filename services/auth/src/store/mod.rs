//! SQL, one table a file. Nothing here decides anything: what is missing is `None`, what a
//! constraint refuses is an error.

pub(crate) mod access_revision;
pub(crate) mod signing_keys;
pub(crate) mod users;
