//! Keeps the access state of this replica fresh: reads the revisions four times a second, and what
//! has changed when they have grown. Also deletes retired keys.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, Timestamp};
use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use parlance_runtime::{Lifecycle, ticks};
use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::CLOCK_DIFFERENCE;
use crate::access::Access;
use crate::ended_log::EndedLog;
use crate::error::Error;
use crate::store;

/// A change has to reach every gateway within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const POLL_TIMEOUT: Duration = Duration::from_secs(3);
/// The next poll after it is still within the second that verifiers expect.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(500);
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// Entries read by one statement.
const MAX_READ: i64 = 10_000;

/// Reads the access state once and starts the task that refreshes it.
pub(crate) async fn start(
    pool: Pool,
    clock: Clock,
    log: Arc<EndedLog>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<watch::Receiver<Arc<Access>>> {
    let mut ended = Ended { log, last_number: 0, forgotten_at: Instant::now() };
    let load = async {
        let mut conn = pool.acquire().await?;
        let first = Access::load(&mut conn).await?;
        ended.read(&mut conn).await?;
        Ok(first)
    };
    let first = timeout(POLL_TIMEOUT, load).await.unwrap_or(Err(Error::DatabaseTimeout))?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    let task = Refresh { pool: pool.clone(), clock, ended, sender };
    lifecycle.spawn_task("refresh of the access state", task.run());
    Ok(receiver)
}

struct Refresh {
    pool: Pool,
    clock: Clock,
    ended: Ended,
    sender: watch::Sender<Arc<Access>>,
}

impl Refresh {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut ticks = ticks(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            let now = self.clock.now();
            let polled = timeout(POLL_TIMEOUT, self.poll(now)).await;
            if let Err(error) = polled.unwrap_or(Err(Error::DatabaseTimeout)) {
                tracing::warn!(error = chain(&error), "cannot refresh the access state; retrying");
            }
            self.ended.forget(now);
        }
    }

    /// Sends the access state to all streams if its revisions have changed. A deleted key is a
    /// change like any other.
    async fn poll(&mut self, now: Timestamp) -> Result<(), Error> {
        let confirmed_at = Instant::now();
        let mut conn = self.pool.acquire().await?;
        let known = self.sender.borrow().clone();
        if known.keys.has_retired(now) {
            let mut transaction = conn.begin().await?;
            // Every change of keys takes this lock first, so that none waits for another in turn.
            store::access_revision::lock(&mut transaction).await?;
            store::signing_keys::delete_retired(&mut transaction, now).await?;
            transaction.commit().await?;
        }
        let revisions = store::access_revision::get(&mut conn).await?;
        if revisions == known.revisions {
            self.confirm(&known, confirmed_at);
            return Ok(());
        }
        let mut access = Access { revisions, confirmed_at, ..(*known).clone() };
        if revisions.access != known.revisions.access {
            let profiles = known.profiles.clone();
            let loaded = Access::load_as_of(&mut conn, revisions, confirmed_at).await?;
            access = Access { profiles, ..loaded };
            tracing::info!(access.revision = revisions.access, "access state refreshed");
        }
        if revisions.ended != known.revisions.ended {
            self.ended.read(&mut conn).await?;
        }
        if revisions.profiles != known.revisions.profiles {
            let profiles = known.profiles.read_on(&mut conn, revisions.profiles).await?;
            access.profiles = Arc::new(profiles);
        }
        self.sender.send_replace(Arc::new(access));
        Ok(())
    }

    /// Tells the streams, a little more often than every second, that the state is the newest.
    fn confirm(&self, known: &Access, confirmed_at: Instant) {
        if confirmed_at >= known.confirmed_at + CONFIRM_INTERVAL {
            self.sender.send_replace(Arc::new(Access { confirmed_at, ..known.clone() }));
        }
    }
}

/// The log of what has ended, and how far it has been read.
struct Ended {
    log: Arc<EndedLog>,
    last_number: i64,
    forgotten_at: Instant,
}

impl Ended {
    /// Reads what is new. If it fails on the way, what has been read stays.
    async fn read(&mut self, conn: &mut PgConnection) -> Result<(), Error> {
        loop {
            let entries = store::ended_access::list_after(conn, self.last_number, MAX_READ).await?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            self.last_number = last.number;
            self.log.append(entries);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        if self.forgotten_at.elapsed() >= FORGET_INTERVAL {
            self.forgotten_at = Instant::now();
            self.log.forget(now.before(CLOCK_DIFFERENCE));
        }
    }
}
