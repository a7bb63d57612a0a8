//! Admission: checks that the senders of queued messages are members of the rooms.
//!
//! The next batch is checked while the previous one is being committed, provided that it is large
//! enough to be worth a call of its own. A smaller one waits for the end of the commit and is
//! checked with everything that has arrived until then.

use std::sync::Arc;

use parlance_core::ErrorCode;
use tokio::sync::{mpsc, watch};

use super::batch::{Batch, Job, MAX_BATCH};
use crate::clients::memberships::{Check, CheckResult, Memberships};

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
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) -> anyhow::Result<()> {
        loop {
            let mut batch = Batch::new(self.collect(&mut queue).await);
            if batch.jobs.is_empty() {
                return Ok(());
            }
            batch.refuse_late();
            let results = batch.spans.scope(self.check(&batch.jobs)).await;
            apply(&mut batch.jobs, results);
            self.is_idle.send_replace(false);
            if self.admitted.send(batch).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Waits for the messages of the next batch. Returns none when the queue has ended.
    async fn collect(&self, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut is_idle = self.is_idle.subscribe();
        let mut received = queue.recv_many(&mut jobs, MAX_BATCH).await;
        while received > 0 && jobs.len() < MIN_EARLY_CHECK {
            let space = MAX_BATCH - jobs.len();
            tokio::select! {
                _ = is_idle.wait_for(|is_idle| *is_idle) => break,
                more = queue.recv_many(&mut jobs, space) => received = more,
            }
        }
        jobs
    }

    /// Checks the messages that are not refused, in one call.
    async fn check(&self, jobs: &[Job]) -> Result<Vec<CheckResult>, ErrorCode> {
        let undecided = jobs.iter().filter(|job| job.result.is_none());
        let checks: Vec<Check> = undecided
            .map(|job| Check { room_id: job.draft.room_id, user_id: job.draft.sender_id })
            .collect();
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        self.memberships.check_all(checks).await
    }
}

fn apply(jobs: &mut [Job], results: Result<Vec<CheckResult>, ErrorCode>) {
    let mut results = results.map(Vec::into_iter);
    for job in jobs.iter_mut().filter(|job| job.result.is_none()) {
        let result = match &mut results {
            Ok(results) => results.next().unwrap_or(Err(ErrorCode::Internal)),
            Err(code) => Err(*code),
        };
        match result {
            Ok(_) => job.span.note("admitted"),
            Err(code) => job.refuse(code),
        }
    }
}
