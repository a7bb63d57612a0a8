//! Deletes entries of the membership log that are older than the retention time.

use std::time::Duration;

use parlance_runtime::error::chain;
use parlance_runtime::ticks;
use tokio::time::timeout;

use crate::app::App;
use crate::error::Error;
use crate::store::membership_log;

/// How often the log is trimmed within the retention time.
const TRIMS_PER_RETENTION: u32 = 10;
/// Few enough that a statement ends long before the statement timeout.
const ENTRIES_PER_STATEMENT: i64 = 5_000;
const TRIM_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until the process drains.
pub(crate) async fn run(app: App) -> anyhow::Result<()> {
    let draining = app.lifecycle.draining().clone();
    let mut ticks = ticks(app.membership_log_retention / TRIMS_PER_RETENTION);
    while draining.run_until_cancelled(ticks.tick()).await.is_some() {
        let trimmed = timeout(TRIM_TIMEOUT, trim(&app)).await;
        if let Err(error) = trimmed.unwrap_or(Err(Error::DatabaseTimeout)) {
            tracing::warn!(error = chain(&error), "cannot trim the membership log; retrying");
        }
    }
    Ok(())
}

async fn trim(app: &App) -> Result<(), Error> {
    let mut conn = app.pool.acquire().await?;
    while membership_log::trim(&mut conn, app.membership_log_retention, ENTRIES_PER_STATEMENT)
        .await?
        == ENTRIES_PER_STATEMENT
    {}
    Ok(())
}
