//! SQL, one table a file. No rules, no transactions.

pub(crate) mod outbox;
pub(crate) mod pairs;
