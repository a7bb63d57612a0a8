//! Admission: checks that the senders of queued messages are members of the rooms.
//!
//! The next batch is checked while the previous one is being committed, provided that it is large
//! enough to be worth a call of its own. A smaller one waits for the end of the commit and is
//! checked with everything that has arrived until then.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::batch::{Batch, Job, MAX_BATCH};
use super::queue::JobQueue;
use crate::clients::memberships::{Check, Memberships};

/// The minimum number of messages that are checked while a batch is being committed.
const MIN_EARLY_CHECK: usize = 64;

pub(super) struct Admission {
    pub(super) memberships: Memberships,
    pub(super) admitted: mpsc::Sender<Batch>,
    /// True while no batch is waiting or being committed. The commit loop sets it, admission clears
    /// it.
    pub(super) is_idle: Arc<watch::Sender<bool>>,
}

impl Admission {
    pub(super) async fn run(self, queue: JobQueue) -> anyhow::Result<()> {
        loop {
            let mut batch = Batch::new(self.collect(&queue).await);
            batch.refuse_late();
            batch.spans.scope(self.check(&mut batch.jobs)).await;
            self.is_idle.send_replace(false);
            if self.admitted.send(batch).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Waits for the messages of the next batch.
    async fn collect(&self, queue: &JobQueue) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut is_idle = self.is_idle.subscribe();
        queue.take(&mut jobs, MAX_BATCH).await;
        while jobs.len() < MIN_EARLY_CHECK {
            let space = MAX_BATCH - jobs.len();
            tokio::select! {
                _ = is_idle.wait_for(|is_idle| *is_idle) => break,
                () = queue.take(&mut jobs, space) => {}
            }
        }
        jobs
    }

    /// Checks the messages that are not refused, in one call.
    async fn check(&self, jobs: &mut [Job]) {
        let undecided: Vec<&mut Job> = jobs.iter_mut().filter(|job| job.result.is_none()).collect();
        if undecided.is_empty() {
            return;
        }
        let check =
            |job: &&mut Job| Check { room_id: job.draft.room_id, user_id: job.draft.sender_id };
        let results = self.memberships.check_all(undecided.iter().map(check).collect()).await;
        for (job, result) in undecided.into_iter().zip(results) {
            match result {
                Ok(_) => job.span.note("admitted"),
                Err(code) => job.refuse(code),
            }
        }
    }
}
