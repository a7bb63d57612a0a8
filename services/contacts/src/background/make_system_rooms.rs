//! Makes the system rooms that are still in the outbox, until the rooms service has confirmed each.

use std::time::Duration;

use parlance_runtime::error::chain;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::error::Error;
use crate::ops::system_rooms::{CLAIM_TIMEOUT, DATABASE_TIMEOUT, MAX_ROOMS_AT_ONCE, make_rooms};
use crate::store::outbox;

const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Runs until the process drains.
pub(crate) async fn run(app: App) -> anyhow::Result<()> {
    let draining = app.lifecycle.draining().clone();
    let polls = async {
        loop {
            match poll(&app).await {
                // A full batch: there may be more.
                Ok(MAX_ROOMS_AT_ONCE) => {}
                Ok(_) => sleep(POLL_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot make system rooms; retrying");
                    sleep(POLL_INTERVAL).await;
                }
            }
        }
    };
    draining.run_until_cancelled(polls).await;
    Ok(())
}

/// Makes the rooms of up to [`MAX_ROOMS_AT_ONCE`] outbox rows. Returns how many.
async fn poll(app: &App) -> Result<usize, Error> {
    let claim = async {
        let mut conn = app.pool.acquire().await?;
        outbox::claim(&mut conn, MAX_ROOMS_AT_ONCE as i64, CLAIM_TIMEOUT).await
    };
    let entries = timeout(DATABASE_TIMEOUT, claim).await.map_err(|_| Error::DatabaseTimeout)??;
    if !entries.is_empty() {
        make_rooms(app, &entries).await?;
        tracing::info!(rooms = entries.len(), "made system rooms from the outbox");
    }
    Ok(entries.len())
}
