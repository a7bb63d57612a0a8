//! SQL, one table a file. No rules, no transactions.

pub(crate) mod members;
pub(crate) mod membership_log;
pub(crate) mod rooms;
