//! Keeps the access state of this replica fresh: reads the revision twice a second, and everything
//! else when the revision has grown. Also deletes retired keys.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, Timestamp};
use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use parlance_runtime::{Lifecycle, ticks};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::access::Access;
use crate::error::Error;
use crate::store;

/// Twice a second, so that a change reaches every gateway within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const POLL_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads the access state once and starts the task that refreshes it.
pub(crate) async fn start(
    pool: Pool,
    clock: Clock,
    lifecycle: &Lifecycle,
) -> anyhow::Result<watch::Receiver<Arc<Access>>> {
    let load = async { Access::load(&mut *pool.acquire().await?).await };
    let first = timeout(POLL_TIMEOUT, load).await.unwrap_or(Err(Error::DatabaseTimeout))?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    lifecycle.spawn_task("refresh of the access state", run(pool, clock, sender));
    Ok(receiver)
}

async fn run(pool: Pool, clock: Clock, sender: watch::Sender<Arc<Access>>) -> anyhow::Result<()> {
    let mut ticks = ticks(POLL_INTERVAL);
    loop {
        ticks.tick().await;
        let known = sender.borrow().clone();
        let polled = timeout(POLL_TIMEOUT, poll(&pool, clock.now(), &known)).await;
        match polled.unwrap_or(Err(Error::DatabaseTimeout)) {
            Ok(None) => {}
            Ok(Some(access)) => {
                tracing::info!(access.revision = access.revision, "access state refreshed");
                sender.send_replace(Arc::new(access));
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot refresh the access state; retrying");
            }
        }
    }
}

/// Returns the access state if its revision has changed. A deleted key is a change like any other.
async fn poll(pool: &Pool, now: Timestamp, known: &Access) -> Result<Option<Access>, Error> {
    let mut conn = pool.acquire().await?;
    if known.keys.has_retired(now) {
        store::signing_keys::delete_retired(&mut conn, now).await?;
    }
    if store::access_revision::get(&mut conn).await? == known.revision {
        return Ok(None);
    }
    Access::load(&mut conn).await.map(Some)
}
