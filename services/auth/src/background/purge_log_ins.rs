//! Deletes failures of log-ins, known networks and reset codes that have become void, in bounded
//! steps, and keeps the table of failures within its bound.

use parlance_runtime::postgres::Pool;
use std::time::Duration;

use parlance_runtime::error::chain;
use parlance_runtime::{Lifecycle, ticks};
use tokio::time::timeout;

use crate::error::Error;
use crate::guessing::AccountsUnderAttack;
use crate::store::{known_networks, log_in_failures, reset_codes};

const PURGE_INTERVAL: Duration = Duration::from_secs(30);
const PURGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Rows that one statement deletes, so that none takes long, however many are due.
const MAX_DELETED: i64 = 2_000;
/// Rows of failures that are kept, some 50 MB. Each failure costs a hash and adds at most two rows,
/// which an hour voids, so only a large flood on many replicas gets here. The oldest rows go first:
/// an account under attack has a new one.
const MAX_FAILURE_ROWS: i64 = 200_000;

/// Starts the task.
pub(crate) fn start(pool: Pool, lifecycle: &Lifecycle) {
    lifecycle.spawn_task("purge of log-ins", run(pool, AccountsUnderAttack::observed()));
}

async fn run(pool: Pool, under_attack: AccountsUnderAttack) -> anyhow::Result<()> {
    let mut ticks = ticks(PURGE_INTERVAL);
    loop {
        ticks.tick().await;
        let purged = timeout(PURGE_TIMEOUT, purge(&pool, &under_attack)).await;
        if let Err(error) = purged.unwrap_or(Err(Error::DatabaseTimeout)) {
            tracing::warn!(error = chain(&error), "cannot delete old log-in failures; retrying");
        }
    }
}

async fn purge(pool: &Pool, under_attack: &AccountsUnderAttack) -> Result<(), Error> {
    let mut conn = pool.acquire().await?;
    under_attack
        .set(log_in_failures::count_accounts(&mut conn, AccountsUnderAttack::MIN_FAILURES).await?);
    let surplus = log_in_failures::find_surplus(&mut conn, MAX_FAILURE_ROWS).await?;
    drop(conn);
    while log_in_failures::purge(&mut *pool.acquire().await?, surplus, MAX_DELETED).await? > 0 {}
    while known_networks::purge(&mut *pool.acquire().await?, MAX_DELETED).await? > 0 {}
    while reset_codes::purge(&mut *pool.acquire().await?, MAX_DELETED).await? > 0 {}
    Ok(())
}
