//! Deletes invitations that nobody has answered in time. No call shows them any more.

use std::time::Duration;

use parlance_runtime::error::chain;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::error::Error;
use crate::ops::system_rooms::DATABASE_TIMEOUT;
use crate::store::pairs;

const INTERVAL: Duration = Duration::from_secs(60);
/// The most rows that one statement deletes.
const MAX_DELETED: u32 = 1_000;

/// Runs until the process drains.
pub(crate) async fn run(app: App) -> anyhow::Result<()> {
    let draining = app.lifecycle.draining().clone();
    let turns = async {
        loop {
            match delete(&app).await {
                // There may be more.
                Ok(deleted) if deleted == u64::from(MAX_DELETED) => {}
                Ok(_) => sleep(INTERVAL).await,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot delete expired invitations");
                    sleep(INTERVAL).await;
                }
            }
        }
    };
    draining.run_until_cancelled(turns).await;
    Ok(())
}

/// Deletes up to [`MAX_DELETED`] invitations. Returns how many.
async fn delete(app: &App) -> Result<u64, Error> {
    let delete = async {
        let mut conn = app.pool.acquire().await?;
        pairs::delete_expired(&mut conn, app.invitation_ttl, MAX_DELETED).await
    };
    Ok(timeout(DATABASE_TIMEOUT, delete).await.map_err(|_| Error::DatabaseTimeout)??)
}
