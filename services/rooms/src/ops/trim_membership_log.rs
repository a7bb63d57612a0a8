//! Keeps the log of ended memberships short.

use std::time::Duration;

use parlance_core::Timestamp;
use parlance_runtime::error::chain;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::app::App;
use crate::error::Error;
use crate::store::membership_log;

/// How often per retention time old entries are deleted.
const TRIMS_PER_RETENTION: u32 = 10;
/// How many entries one statement deletes, so that it stays far from the statement timeout.
const ENTRIES_PER_STATEMENT: i64 = 5_000;
const DEADLINE: Duration = Duration::from_secs(30);

/// Deletes what is older than the retention time, again and again, until the process drains. A
/// failure is not the end: the next round makes up for it.
pub(crate) async fn run(app: App) -> anyhow::Result<()> {
    let draining = app.lifecycle.draining().clone();
    let mut rounds = interval(app.membership_log_retention / TRIMS_PER_RETENTION);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while draining.run_until_cancelled(rounds.tick()).await.is_some() {
        let outcome = timeout(DEADLINE, trim(&app)).await.unwrap_or(Err(Error::DatabaseTooSlow));
        if let Err(error) = outcome {
            tracing::warn!(error = chain(&error), "the membership log could not be trimmed");
        }
    }
    Ok(())
}

async fn trim(app: &App) -> Result<(), Error> {
    let retention = i64::try_from(app.membership_log_retention.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(app.clock.now().as_micros().saturating_sub(retention));
    let mut conn = app.pool.acquire().await?;
    while membership_log::trim(&mut conn, before, ENTRIES_PER_STATEMENT).await?
        == ENTRIES_PER_STATEMENT
    {}
    Ok(())
}
