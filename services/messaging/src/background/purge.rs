//! Purges deleted rooms: marks them deleted, then deletes their messages in bounded steps.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use tokio::sync::{Notify, mpsc};

use crate::store::{messages, room_heads, with_timeout};

/// Deleted rooms that may wait. Further ones are found by comparing.
const MAX_QUEUED: usize = 10_000;
/// Rooms that are purged together.
const MAX_ROOMS: usize = 100;
/// Messages that one statement deletes, so that none takes long.
const MAX_DELETED: i64 = 1_000;
/// After this time rooms that are not purged yet go back into the queue, so that large ones do not
/// hold up others.
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_BACKOFF: Duration = Duration::from_secs(1);

/// The deleted rooms that wait to be purged. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeletedRooms {
    queue: mpsc::Sender<RoomId>,
    /// Notified when deleted rooms may be missing in the queue.
    missed: Arc<Notify>,
}

impl DeletedRooms {
    /// Starts the task that purges.
    pub(crate) fn start(pool: Pool, lifecycle: &Lifecycle) -> Self {
        let (queue, rooms) = mpsc::channel(MAX_QUEUED);
        let deleted_rooms = Self { queue, missed: Arc::default() };
        lifecycle.spawn_task("purge", run(pool, rooms, deleted_rooms.clone()));
        deleted_rooms
    }

    /// Notes a deleted room. Never waits: if the queue is full, the room is found by comparing.
    pub(crate) fn note(&self, room_id: RoomId) {
        if self.queue.try_send(room_id).is_err() {
            self.note_missed();
        }
    }

    /// Notes that rooms may have been deleted of which nothing is known.
    pub(crate) fn note_missed(&self) {
        self.missed.notify_one();
    }

    /// Queues a deleted room, and waits while the queue is full.
    pub(super) async fn queue(&self, room_id: RoomId) {
        // Sending fails only when the process is ending.
        let _ = self.queue.send(room_id).await;
    }

    /// Waits until deleted rooms may be missing in the queue.
    pub(super) async fn missed(&self) {
        self.missed.notified().await;
    }
}

async fn run(
    pool: Pool,
    mut rooms: mpsc::Receiver<RoomId>,
    deleted_rooms: DeletedRooms,
) -> anyhow::Result<()> {
    let mut room_ids = Vec::new();
    // After a failure one room at a time, so that a locked room does not hold up others.
    let mut limit = MAX_ROOMS;
    while rooms.recv_many(&mut room_ids, limit).await > 0 {
        room_ids.sort_unstable();
        room_ids.dedup();
        limit = (limit * 2).min(MAX_ROOMS);
        if let Err(error) = with_timeout(PURGE_TIMEOUT, purge(&pool, &room_ids)).await {
            let rooms = room_ids.len();
            tracing::warn!(rooms, error = chain(&error), "purge of rooms failed; retrying");
            tokio::time::sleep(RETRY_BACKOFF).await;
            room_ids.iter().for_each(|&room_id| deleted_rooms.note(room_id));
            limit = 1;
        }
        room_ids.clear();
    }
    Ok(())
}

/// Purges rooms, whose ids ascend.
async fn purge(pool: &Pool, room_ids: &[RoomId]) -> sqlx::Result<()> {
    room_heads::mark_deleted(&mut *pool.acquire().await?, room_ids).await?;
    while messages::purge(&mut *pool.acquire().await?, room_ids, MAX_DELETED).await? > 0 {}
    Ok(())
}
