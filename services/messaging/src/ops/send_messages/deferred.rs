//! The deferred queue: messages for locked rooms wait here, so that they delay no other room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use tokio::sync::Semaphore;

use super::batch::{Batch, Job, MAX_BATCH, SEND_TIMEOUT, take_unwritten};
use super::write::Committer;

/// Messages that may wait for locked rooms. Further ones are answered `unavailable`.
const MAX_DEFERRED: usize = 16_384;
/// Connections to Postgres that deferred messages use. As long as fewer rooms are locked, no room
/// waits for another.
const MAX_CONNECTIONS: usize = 4;

/// Cheap to clone. The lock of the queue is held for map look-ups, never across an await.
#[derive(Clone)]
pub(super) struct DeferredQueue {
    committer: Committer,
    lifecycle: Lifecycle,
    queue: Arc<Mutex<Queue>>,
    connections: Arc<Semaphore>,
}

#[derive(Default)]
struct Queue {
    /// The messages of each room that has a task, in their order.
    rooms: HashMap<RoomId, Vec<Job>>,
    /// The number of messages in all rooms.
    len: usize,
}

impl DeferredQueue {
    pub(super) fn new(committer: Committer, lifecycle: Lifecycle) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { committer, lifecycle, queue: Arc::default(), connections }
    }

    /// Moves messages for rooms that have deferred messages to the queue, so that they keep their
    /// order.
    pub(super) fn take_followers(&self, jobs: &mut Vec<Job>) {
        let followers = {
            let queue = self.lock();
            if queue.rooms.is_empty() {
                return;
            }
            jobs.extract_if(.., |job| queue.rooms.contains_key(&job.draft.room_id)).collect()
        };
        self.push(followers);
    }

    /// Queues messages. A task for each room writes them when the room is unlocked.
    pub(super) fn push(&self, jobs: Vec<Job>) {
        let mut rejected = Vec::new();
        for job in jobs {
            let room_id = job.draft.room_id;
            let mut queue = self.lock();
            if queue.len == MAX_DEFERRED {
                rejected.push(job);
                continue;
            }
            queue.len += 1;
            let start_task = || {
                self.lifecycle.spawn(self.clone().write_room(room_id));
                Vec::new()
            };
            queue.rooms.entry(room_id).or_insert_with(start_task).push(job);
        }
        self.committer.respond(rejected);
    }

    /// Writes the messages of a room until none is queued.
    async fn write_room(self, room_id: RoomId) {
        let mut jobs: Vec<Job> = Vec::new();
        let mut is_locked = true;
        while self.take(room_id, &mut jobs) {
            let Ok(_connection) = self.connections.acquire().await else { return };
            if is_locked {
                let waited = jobs[0].received_at.elapsed();
                self.committer.wait_for_lock(room_id, SEND_TIMEOUT.saturating_sub(waited)).await;
            }
            let mut batch = Batch::new(std::mem::take(&mut jobs));
            batch.refuse_late();
            self.committer.write(&mut None, &mut batch).await;
            jobs = take_unwritten(&mut batch.jobs);
            is_locked = !jobs.is_empty();
            self.committer.respond(batch.jobs);
        }
    }

    /// Appends queued messages to a batch. Returns false, and removes the room, if there are none.
    fn take(&self, room_id: RoomId, jobs: &mut Vec<Job>) -> bool {
        let mut queue = self.lock();
        if let Some(queued) = queue.rooms.get_mut(&room_id) {
            let count = queued.len().min(MAX_BATCH.saturating_sub(jobs.len()));
            jobs.extend(queued.drain(..count));
            queue.len -= count;
        }
        if jobs.is_empty() {
            queue.rooms.remove(&room_id);
        }
        !jobs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
