//! The SQL of the schema `messaging`, one file for each table, and one for the batch write.

pub(crate) mod batches;
pub(crate) mod messages;
pub(crate) mod room_heads;
mod timeout;
pub(crate) mod write_batch;

pub(crate) use self::timeout::with_timeout;
