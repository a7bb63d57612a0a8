//! The `Attach` streams of the gateways: which rooms each subscribes to, and the queue of responses
//! to each.

mod queue;
mod registry;

pub(crate) use self::queue::StreamQueue;
pub(crate) use self::registry::{StreamId, Streams};
