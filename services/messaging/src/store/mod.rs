//! The SQL of the schema `messaging`, a file for each table.

pub(crate) mod batches;
pub(crate) mod messages;
pub(crate) mod room_heads;
