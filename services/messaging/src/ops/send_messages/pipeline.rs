//! Starts the tasks that store messages, and queues jobs for them.

use std::sync::Arc;

use parlance_core::ErrorCode;
use parlance_runtime::Lifecycle;
use parlance_runtime::postgres::Pool;
use tokio::sync::{mpsc, watch};

use super::admit::Admission;
use super::batch::{Inbox, Job};
use super::commit::CommitLoop;
use super::deferred::DeferredQueue;
use super::metrics::Metrics;
use super::queue::JobQueue;
use super::write::Committer;
use crate::clients::memberships::Memberships;
use crate::pubsub::PubSub;
use crate::streams::Streams;

/// Admitted batches that may wait for the commit loop. The bound keeps the time between check and
/// commit short.
const MAX_ADMITTED: usize = 4;

/// The queue of messages to store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SendPipeline {
    queue: JobQueue,
    committer: Committer,
}

impl SendPipeline {
    /// Starts the tasks.
    pub(crate) fn start(
        pool: Pool,
        memberships: Memberships,
        streams: Streams,
        pubsub: PubSub,
        lifecycle: &Lifecycle,
    ) -> Self {
        let committer = Committer { pool, streams, pubsub, metrics: Metrics::new() };
        let queue = JobQueue::new();
        let (admitted, batches) = mpsc::channel(MAX_ADMITTED);
        let is_idle = Arc::new(watch::channel(true).0);
        let deferred = DeferredQueue::new(committer.clone(), lifecycle.clone());

        let admission = Admission { memberships, admitted, is_idle: is_idle.clone() };
        let commit_loop = CommitLoop { committer: committer.clone(), deferred, is_idle };
        lifecycle.spawn_task("admission", admission.run(queue.clone()));
        lifecycle.spawn_task("commit loop", commit_loop.run(Inbox::new(batches)));
        Self { queue, committer }
    }

    /// Queues messages, whose streams get the answers; `rate_limited` at once to those whose
    /// senders have too many queued.
    pub(crate) fn submit(&self, jobs: Vec<Job>) {
        let mut refused = self.queue.push(jobs);
        if !refused.is_empty() {
            refused.iter_mut().for_each(|job| job.refuse(ErrorCode::RateLimited));
            self.committer.respond(refused);
        }
    }
}
