//! Deleted rooms: their heads stay as tombstones, their messages are purged little by little.

use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use sqlx::PgPool;
use tokio::sync::mpsc;

use crate::store::{messages, room_heads};

/// Deleted rooms that may wait; more than that are buried when the log of memberships is read
/// again.
const MAX_QUEUED: usize = 10_000;
/// Messages purged in one statement, so that none takes long.
const PURGE_STEP: i64 = 1_000;
/// After this time the purge of a large room begins anew, where it stopped.
const BURIAL_LIMIT: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Starts the task that buries deleted rooms; where to announce them.
pub(crate) fn start(pool: PgPool, lifecycle: &Lifecycle) -> mpsc::Sender<RoomId> {
    let (sender, deleted_rooms) = mpsc::channel(MAX_QUEUED);
    lifecycle.spawn_task("tombstones", bury_forever(pool, deleted_rooms));
    sender
}

async fn bury_forever(
    pool: PgPool,
    mut deleted_rooms: mpsc::Receiver<RoomId>,
) -> anyhow::Result<()> {
    while let Some(room_id) = deleted_rooms.recv().await {
        loop {
            match tokio::time::timeout(BURIAL_LIMIT, bury(&pool, room_id)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::warn!(room.id = %room_id, error = chain(&error), "a deleted room could not be buried yet");
                }
                Err(_) => tracing::warn!(room.id = %room_id, "a deleted room is not yet purged"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    Ok(())
}

async fn bury(pool: &PgPool, room_id: RoomId) -> sqlx::Result<()> {
    room_heads::bury(&mut *pool.acquire().await?, room_id).await?;
    while messages::purge(&mut *pool.acquire().await?, room_id, PURGE_STEP).await? > 0 {}
    Ok(())
}
