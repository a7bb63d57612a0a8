//! Deletes rows of `batches` that are older than ten minutes, in bounded steps.

use std::time::Duration;

use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use parlance_runtime::{Lifecycle, ticks};

use crate::store::{batches, with_timeout};

const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const TRIM_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows that one statement deletes, so that none takes long, however many are due.
const MAX_DELETED: i64 = 2_000;

/// Starts the task.
pub(crate) fn start(pool: Pool, lifecycle: &Lifecycle) {
    lifecycle.spawn_task("trim", run(pool));
}

async fn run(pool: Pool) -> anyhow::Result<()> {
    let mut ticks = ticks(TRIM_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(error) = with_timeout(TRIM_TIMEOUT, trim(&pool)).await {
            tracing::warn!(error = chain(&error), "cannot delete old rows of batches; retrying");
        }
    }
}

async fn trim(pool: &Pool) -> sqlx::Result<()> {
    while batches::trim(&mut *pool.acquire().await?, MAX_DELETED).await? > 0 {}
    Ok(())
}
