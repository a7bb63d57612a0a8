//! The deferred queue: messages for locked rooms wait here, so that they delay no other room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::batch::{Batch, Job, MAX_BATCH};
use super::write::Committer;

/// Messages that may wait for locked rooms. Further ones are answered `unavailable`.
const MAX_DEFERRED: usize = 16_384;
/// Messages that may wait for one locked room, so that others have places.
const MAX_DEFERRED_PER_ROOM: usize = 4_096;
/// Connections to Postgres that deferred messages use, one for each locked room. Further locked
/// rooms wait for one of them.
const MAX_CONNECTIONS: usize = 4;
/// The pause after a room stayed locked.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

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

impl Queue {
    fn is_full(&self, room_id: RoomId) -> bool {
        let in_room = self.rooms.get(&room_id).map_or(0, Vec::len);
        self.len >= MAX_DEFERRED || in_room >= MAX_DEFERRED_PER_ROOM
    }
}

impl DeferredQueue {
    pub(super) fn new(committer: Committer, lifecycle: Lifecycle) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { committer, lifecycle, queue: Arc::default(), connections }
    }

    /// Takes the messages whose rooms already have deferred messages, and queues them behind those,
    /// so that each room keeps its order.
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
            if queue.is_full(room_id) {
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
        while self.take(room_id, &mut jobs) {
            let Ok(_connection) = self.connections.acquire().await else { return };
            let mut batch = Batch::new(std::mem::take(&mut jobs));
            batch.refuse_late();
            self.committer.write_locked(&mut batch).await;
            let is_unwritten = |job: &Job| job.result.is_none();
            let done = batch.jobs.iter().position(is_unwritten).unwrap_or(batch.jobs.len());
            jobs = batch.jobs.split_off(done);
            self.committer.respond(batch.jobs);
            if !jobs.is_empty() {
                sleep(RETRY_PAUSE).await;
            }
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
