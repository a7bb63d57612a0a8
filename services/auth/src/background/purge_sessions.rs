//! Deletes expired sessions, refresh tokens and ended tokens, in bounded steps.

use std::time::Duration;

use parlance_core::{Clock, Timestamp};
use parlance_runtime::error::chain;
use parlance_runtime::{Lifecycle, ticks};
use sqlx::PgPool;
use tokio::time::timeout;

use super::CLOCK_DIFFERENCE;
use crate::error::Error;
use crate::store::{ended_access, refresh_tokens, sessions};

const PURGE_INTERVAL: Duration = Duration::from_secs(60);
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows that one statement deletes, so that none takes long, however many are due.
const MAX_DELETED: i64 = 2_000;
/// Sessions that one statement deletes. Their refresh tokens go with them.
const MAX_DELETED_SESSIONS: i64 = 100;

/// Starts the task.
pub(crate) fn start(pool: PgPool, clock: Clock, lifecycle: &Lifecycle) {
    lifecycle.spawn_task("purge of sessions", run(pool, clock));
}

async fn run(pool: PgPool, clock: Clock) -> anyhow::Result<()> {
    let mut ticks = ticks(PURGE_INTERVAL);
    loop {
        ticks.tick().await;
        let purged = timeout(PURGE_TIMEOUT, purge(&pool, clock.now())).await;
        if let Err(error) = purged.unwrap_or(Err(Error::DatabaseTimeout)) {
            tracing::warn!(error = chain(&error), "cannot delete expired sessions; retrying");
        }
    }
}

/// Takes turns, so that a table with much to delete does not hold up the others. The tokens in
/// `ended_access` expire by the clocks of replicas, everything else by that of the database.
async fn purge(pool: &PgPool, now: Timestamp) -> Result<(), Error> {
    let expired_before = now.before(CLOCK_DIFFERENCE);
    loop {
        let mut conn = pool.acquire().await?;
        let deleted = ended_access::purge(&mut conn, expired_before, MAX_DELETED).await?
            + refresh_tokens::purge(&mut conn, MAX_DELETED).await?
            + sessions::purge(&mut conn, MAX_DELETED_SESSIONS).await?;
        if deleted == 0 {
            return Ok(());
        }
    }
}
