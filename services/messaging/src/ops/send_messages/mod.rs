//! Sending messages.
//!
//! [`admit`] checks memberships, [`commit`] writes one batch after the other, and [`deferred`]
//! writes messages for locked rooms. A batch contains what arrived while the previous one was being
//! committed: at low load nothing waits, at high load batches are large, and there are no timers.
//! [`queue`] takes from the senders in turn. The messages of a sender keep their order, and behind
//! the queue everything within a room does, answers included.

mod admit;
mod batch;
mod commit;
mod deferred;
mod metrics;
mod pipeline;
mod queue;
mod respond;
mod write;

pub(crate) use self::batch::{Job, SEND_TIMEOUT};
pub(crate) use self::pipeline::SendPipeline;
