//! The queue of messages that wait for admission. It takes from the senders in turn, so that one
//! who sends much waits behind its own messages and no one else does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::UserId;
use parlance_runtime::FairQueue;
use tokio::sync::Notify;

use super::batch::Job;

/// Messages that may wait for admission.
const MAX_QUEUED: usize = 16_384;
/// A sender may queue a message while its queued ones are fewer than the free places divided by
/// this number. However many senders queue as much as they may, there is a place for another one.
const FREE_PLACES_PER_SHARE: usize = 4;

/// Messages in the order in which they are to be stored. The messages of one sender keep their
/// order. Cheap to clone. The lock is held for moving messages, never across an await.
#[derive(Clone, Debug)]
pub(super) struct JobQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    jobs: Mutex<FairQueue<UserId, Job>>,
    arrived: Notify,
}

impl JobQueue {
    pub(super) fn new() -> Self {
        let jobs = Mutex::new(FairQueue::new(MAX_QUEUED, MAX_QUEUED));
        Self(Arc::new(Shared { jobs, arrived: Notify::new() }))
    }

    /// Queues messages. Returns those whose senders have too many queued already.
    pub(super) fn push(&self, new: Vec<Job>) -> Vec<Job> {
        let mut refused = Vec::new();
        let mut jobs = self.lock();
        for job in new {
            let sender_id = job.draft.sender_id;
            if jobs.len_of(&sender_id) * FREE_PLACES_PER_SHARE >= MAX_QUEUED - jobs.len() {
                refused.push(job);
            } else {
                // There is space: the bound of a sender is below that of the queue.
                let _ = jobs.push(sender_id, job);
            }
        }
        drop(jobs);
        self.0.arrived.notify_one();
        refused
    }

    /// Waits for messages and appends up to `max` of them, from the senders in turn. Safe to
    /// cancel. Meant for one consumer.
    pub(super) async fn take(&self, taken: &mut Vec<Job>, max: usize) {
        loop {
            {
                let mut jobs = self.lock();
                let count = jobs.len().min(max);
                if count > 0 {
                    taken.extend((0..count).filter_map(|_| jobs.pop()).map(|(_, job)| job));
                    return;
                }
            }
            self.0.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<UserId, Job>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/queue.rs"]
mod tests;
