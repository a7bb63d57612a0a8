//! Purges deleted rooms: marks them deleted, then deletes their messages in bounded steps.

use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use tokio::sync::mpsc;

use crate::store::{messages, room_heads, with_timeout};

/// Deleted rooms that may wait. When the queue is full, the reader of the membership log waits.
const MAX_QUEUED: usize = 10_000;
/// Messages that one statement deletes, so that none takes long.
const MAX_DELETED: i64 = 1_000;
/// After this time the purge of a large room is logged as unfinished, and continues.
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_BACKOFF: Duration = Duration::from_secs(1);

/// Starts the task. Returns the queue for deleted rooms.
pub(crate) fn start(pool: Pool, lifecycle: &Lifecycle) -> mpsc::Sender<RoomId> {
    let (sender, deleted_rooms) = mpsc::channel(MAX_QUEUED);
    lifecycle.spawn_task("purge", run(pool, deleted_rooms));
    sender
}

async fn run(pool: Pool, mut deleted_rooms: mpsc::Receiver<RoomId>) -> anyhow::Result<()> {
    while let Some(room_id) = deleted_rooms.recv().await {
        while let Err(error) = with_timeout(PURGE_TIMEOUT, purge(&pool, room_id)).await {
            tracing::warn!(room.id = %room_id, error = chain(&error), "purge failed; retrying");
            tokio::time::sleep(RETRY_BACKOFF).await;
        }
    }
    Ok(())
}

async fn purge(pool: &Pool, room_id: RoomId) -> sqlx::Result<()> {
    room_heads::mark_deleted(&mut *pool.acquire().await?, room_id).await?;
    while messages::purge(&mut *pool.acquire().await?, room_id, MAX_DELETED).await? > 0 {}
    Ok(())
}
