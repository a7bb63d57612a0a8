//! Deletes what is older than ten minutes: rows of `batches`, and the messages of the probe.

use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::{batches, messages, with_timeout};

const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const TRIM_TIMEOUT: Duration = Duration::from_secs(2);
/// The room of the synthetic probe.
const PROBE_ROOM: RoomId = RoomId::CANARY;

/// Starts the task.
pub(crate) fn start(pool: PgPool, lifecycle: &Lifecycle) {
    lifecycle.spawn_task("trim", run(pool));
}

async fn run(pool: PgPool) -> anyhow::Result<()> {
    let mut ticks = interval(TRIM_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = with_timeout(TRIM_TIMEOUT, trim(&pool)).await {
            tracing::warn!(error = chain(&error), "cannot delete old rows of batches; retrying");
        }
    }
}

async fn trim(pool: &PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    batches::trim(&mut conn).await?;
    messages::trim(&mut conn, PROBE_ROOM).await
}
