//! Deletes rows of `batches` that are older than ten minutes.

use std::time::Duration;

use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use parlance_runtime::{Lifecycle, ticks};

use crate::store::{batches, with_timeout};

const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const TRIM_TIMEOUT: Duration = Duration::from_secs(2);

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
    batches::trim(&mut *pool.acquire().await?).await
}
