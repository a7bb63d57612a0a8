//! Asks of everything that was sent whether its sender is a member.
//!
//! What is to be stored next is checked while the batch before it is being stored, once enough of
//! it has come to be worth a call of its own. With little to do that never happens: then everything
//! waits for the batch before, and is checked together.

use std::sync::Arc;

use parlance_core::ErrorCode;
use tokio::sync::{mpsc, watch};

use super::MAX_BATCH;
use super::batch::{Batch, Job};
use crate::memberships::{Answer, Memberships, Question};

/// How many must have come to be checked while the store is at work.
const WORTH_A_CALL: usize = 64;

/// The way into the store.
pub(super) struct Admission {
    pub(super) memberships: Memberships,
    pub(super) checked: mpsc::Sender<Batch>,
    /// Whether the store has nothing to do; it says when that is so, and here is said when it no
    /// longer is.
    pub(super) is_idle: Arc<watch::Sender<bool>>,
}

impl Admission {
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Job>) -> anyhow::Result<()> {
        loop {
            let mut batch = Batch::of(self.collect(&mut waiting).await);
            if batch.jobs.is_empty() {
                return Ok(());
            }
            let answers = batch.scope(self.check(&batch.jobs)).await;
            judge(&mut batch.jobs, answers);
            self.is_idle.send_replace(false);
            if self.checked.send(batch).await.is_err() {
                return Ok(());
            }
        }
    }

    /// What is checked next; nothing when nobody is left who could send.
    async fn collect(&self, waiting: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut is_idle = self.is_idle.subscribe();
        let mut more = waiting.recv_many(&mut jobs, MAX_BATCH).await;
        while more > 0 && jobs.len() < WORTH_A_CALL {
            let space = MAX_BATCH - jobs.len();
            tokio::select! {
                _ = is_idle.wait_for(|is_idle| *is_idle) => break,
                received = waiting.recv_many(&mut jobs, space) => more = received,
            }
        }
        jobs.iter_mut().for_each(Job::refuse_if_late);
        jobs
    }

    /// What rooms says of each message whose sender still waits.
    async fn check(&self, jobs: &[Job]) -> Result<Vec<Answer>, ErrorCode> {
        let questions: Vec<Question> =
            jobs.iter().filter(|job| job.refused.is_none()).map(question).collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        self.memberships.check_all(questions).await
    }
}

fn question(job: &Job) -> Question {
    Question { room_id: job.draft.room_id, user_id: job.draft.sender_id }
}

fn judge(jobs: &mut [Job], answers: Result<Vec<Answer>, ErrorCode>) {
    let mut answers = answers.map(Vec::into_iter);
    for job in jobs.iter_mut().filter(|job| job.refused.is_none()) {
        let answer = match &mut answers {
            Ok(answers) => answers.next().unwrap_or(Err(ErrorCode::Internal)),
            Err(code) => Err(*code),
        };
        match answer {
            Ok(_) => job.span.note("admitted"),
            Err(code) => job.refused = Some(code),
        }
    }
}
