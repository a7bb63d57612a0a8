//! What decides whether a token is accepted, kept in memory and kept fresh: every replica looks at
//! one number of the database twice a second and reads the rest when it has grown.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, Timestamp, UserId};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::error::Error;
use crate::keys::KeyRing;
use crate::model::AccessState;
use crate::store;

const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long one look at the database may take.
const POLL_DEADLINE: Duration = Duration::from_secs(3);

/// Keys and inactive users as they were at a revision.
#[derive(Debug)]
pub(crate) struct Access {
    revision: i64,
    pub(crate) keys: KeyRing,
    inactive_user_ids: Vec<UserId>,
}

impl Access {
    /// Reads everything. The revision comes first: what changes while the rest is read is read once
    /// more, not missed.
    pub(crate) async fn load(conn: &mut PgConnection) -> Result<Self, Error> {
        let revision = store::access_revision::get(conn).await?;
        let keys = KeyRing::new(store::signing_keys::list(conn).await?);
        let inactive_user_ids = store::users::list_inactive_ids(conn).await?;
        Ok(Self { revision, keys, inactive_user_ids })
    }

    /// What verifiers have to know now.
    pub(crate) fn state(&self, now: Timestamp) -> AccessState {
        AccessState {
            keys: self.keys.published(now),
            inactive_user_ids: self.inactive_user_ids.clone(),
        }
    }
}

/// Reads everything once and then follows the changes for as long as the process lives.
pub(crate) async fn start(
    pool: PgPool,
    clock: Clock,
    lifecycle: &Lifecycle,
) -> anyhow::Result<watch::Receiver<Arc<Access>>> {
    let first = Access::load(&mut *pool.acquire().await?).await?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    lifecycle.spawn_task("access state", follow(pool, clock, sender));
    Ok(receiver)
}

async fn follow(
    pool: PgPool,
    clock: Clock,
    sender: watch::Sender<Arc<Access>>,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let known = sender.borrow().clone();
        match tokio::time::timeout(POLL_DEADLINE, poll(&pool, clock.now(), &known)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(access))) => {
                tracing::info!(
                    access.revision = access.revision,
                    "keys or inactive users have changed"
                );
                sender.send_replace(Arc::new(access));
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "changes of keys and users cannot be read")
            }
            Err(_) => tracing::warn!("changes of keys and users cannot be read in time"),
        }
    }
}

/// Forgets retired keys, which is a change as any other, and reads everything if anything has
/// changed.
async fn poll(pool: &PgPool, now: Timestamp, known: &Access) -> Result<Option<Access>, Error> {
    let mut conn = pool.acquire().await?;
    if known.keys.has_retired(now) {
        store::signing_keys::delete_retired(&mut conn, now).await?;
    }
    if store::access_revision::get(&mut conn).await? == known.revision {
        return Ok(None);
    }
    Access::load(&mut conn).await.map(Some)
}
