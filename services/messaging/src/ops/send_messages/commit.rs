//! The commit loop: writes one batch after the other.
//!
//! It never waits for a locked room, as another replica or an edit may hold the lock. Messages for
//! locked rooms go to the deferred queue, and so do later messages for the same rooms, so that they
//! keep their order.

use std::sync::Arc;

use tokio::sync::watch;

use super::batch::{Batch, Inbox, take_unwritten};
use super::deferred::DeferredQueue;
use super::write::Committer;

pub(super) struct CommitLoop {
    pub(super) committer: Committer,
    pub(super) deferred: DeferredQueue,
    /// True while no batch is being committed, see [`Admission`](super::admit::Admission).
    pub(super) is_idle: Arc<watch::Sender<bool>>,
}

impl CommitLoop {
    /// Writes batches until admission has ended. The results of a batch are delivered while the
    /// next batch is being written.
    ///
    /// While batches follow each other they use one connection: the Postgres process behind it
    /// keeps what it needs in the cache of one core.
    pub(super) async fn run(self, mut inbox: Inbox) -> anyhow::Result<()> {
        let (mut committed, mut connection) = (None, None);
        loop {
            let on_idle = || {
                self.respond(committed.take());
                self.is_idle.send_replace(true);
                connection = None;
            };
            let Some(mut batch) = inbox.next(on_idle).await else { return Ok(()) };
            self.is_idle.send_replace(false);
            batch.refuse_late();
            self.deferred.take_followers(&mut batch.jobs);

            let write = self.committer.write(&mut connection, &mut batch);
            tokio::join!(write, async { self.respond(committed.take()) });
            self.deferred.push(take_unwritten(&mut batch.jobs));
            committed = Some(batch);
            if self.committer.is_pool_exhausted() {
                // Other requests may be waiting for a connection.
                connection = None;
            }
        }
    }

    fn respond(&self, batch: Option<Batch>) {
        if let Some(batch) = batch {
            self.committer.respond(batch.jobs);
        }
    }
}
