//! Streams the log of ended memberships to another service.
//!
//! Each watcher has a task that polls the log, and reads it at once after a change by this replica.
//! The task continues from snapshot to snapshot. So it misses no entry, however long a transaction
//! takes to commit, and sends no entry twice on one stream.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::error::Error;
use crate::model::{Batch, Cursor};
use crate::store::membership_log::{self, Page, Position, Snapshot};

/// How far a watcher may be behind a commit by another replica.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A batch is sent at least this often, so that the cursor moves even when no membership ends.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Far below the largest message of gRPC.
const ENTRIES_PER_BATCH: i64 = 1_000;
/// How many batches wait for a slow watcher before the task stops reading the log.
const MAX_QUEUED_BATCHES: usize = 2;
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts to send what is committed from the cursor on, or from now on without a cursor. The
/// batches end with an error if the log cannot be read, and without one if the process drains.
pub(crate) fn watch_memberships(
    app: &App,
    cursor: Option<Cursor>,
) -> mpsc::Receiver<Result<Batch, Error>> {
    let (batches, receiver) = mpsc::channel(MAX_QUEUED_BATCHES);
    let watcher = Watcher {
        app: app.clone(),
        membership_ended: app.membership_ended.subscribe(),
        batches: batches.clone(),
        last_sent: None,
    };
    let draining = app.lifecycle.draining().clone();
    app.lifecycle.spawn(async move {
        if let Some(Err(Stop::Failed(error))) =
            draining.run_until_cancelled(watcher.run(cursor)).await
        {
            // If the channel is full, the error is lost, and the stream still ends early.
            let _ = batches.try_send(Err(error));
        }
    });
    receiver
}

/// Why a watcher task ends.
enum Stop {
    /// The caller has closed the stream.
    Closed,
    /// The log cannot be read.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Watcher {
    app: App,
    membership_ended: watch::Receiver<()>,
    batches: mpsc::Sender<Result<Batch, Error>>,
    /// `None` before the first batch, which is sent at once.
    last_sent: Option<Instant>,
}

impl Watcher {
    async fn run(mut self, cursor: Option<Cursor>) -> Result<(), Stop> {
        let mut seen = match cursor {
            Some(cursor) => Snapshot::from_cursor(cursor),
            None => self.current_snapshot().await?,
        };
        loop {
            self.membership_ended.borrow_and_update();
            seen = self.send_new_entries(seen).await?;
            self.wait().await?;
        }
    }

    /// Sends all entries that the snapshot has not seen. Returns a snapshot that has seen them.
    async fn send_new_entries(&mut self, seen: Snapshot) -> Result<Snapshot, Stop> {
        let mut page = self.read(&seen, Position::START).await?;
        // Later pages may have entries that this snapshot has not seen. The next poll reads them
        // again.
        let snapshot = page.snapshot.clone();
        while !page.is_truncated && page.ends.len() as i64 == ENTRIES_PER_BATCH {
            let position = page.position;
            self.send(Batch { ends: page.ends, cursor: seen.cursor(), reset: false }).await?;
            page = self.read(&seen, position).await?;
        }
        if page.is_truncated {
            self.send(Batch { ends: Vec::new(), cursor: snapshot.cursor(), reset: true }).await?;
        } else if !page.ends.is_empty() || self.is_heartbeat_due() {
            self.send(Batch { ends: page.ends, cursor: snapshot.cursor(), reset: false }).await?;
        }
        Ok(snapshot)
    }

    fn is_heartbeat_due(&self) -> bool {
        self.last_sent
            .is_none_or(|last_sent| last_sent.elapsed() + POLL_INTERVAL >= HEARTBEAT_INTERVAL)
    }

    async fn wait(&mut self) -> Result<(), Stop> {
        tokio::select! {
            () = sleep(POLL_INTERVAL) => Ok(()),
            // Cannot fail: the watcher holds the app, which holds the sender.
            _ = self.membership_ended.changed() => Ok(()),
            () = self.batches.closed() => Err(Stop::Closed),
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Stop> {
        self.batches.send(Ok(batch)).await.map_err(|_| Stop::Closed)?;
        self.last_sent = Some(Instant::now());
        Ok(())
    }

    async fn current_snapshot(&self) -> Result<Snapshot, Stop> {
        let read = async {
            let mut conn = self.app.vital_pool.acquire().await?;
            membership_log::current_snapshot(&mut conn).await
        };
        Ok(timeout(READ_TIMEOUT, read).await.map_err(|_| Error::DatabaseTimeout)??)
    }

    async fn read(&self, seen: &Snapshot, after: Position) -> Result<Page, Stop> {
        let read = async {
            let mut conn = self.app.vital_pool.acquire().await?;
            membership_log::read(&mut conn, seen, after, ENTRIES_PER_BATCH).await
        };
        Ok(timeout(READ_TIMEOUT, read).await.map_err(|_| Error::DatabaseTimeout)??)
    }
}
