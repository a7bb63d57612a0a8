//! Sending messages.
//!
//! [`admit`] checks memberships, [`commit`] writes one batch after the other, and [`deferred`]
//! writes messages for locked rooms. A batch contains what arrived while the previous one was being
//! committed: at low load nothing waits, at high load batches are large, and there are no timers.
//! Within a room everything keeps its order, answers included.

mod admit;
mod batch;
mod commit;
mod deferred;
mod metrics;
mod pipeline;
mod respond;
mod write;

pub(crate) use self::batch::Job;
pub(crate) use self::pipeline::SendPipeline;
