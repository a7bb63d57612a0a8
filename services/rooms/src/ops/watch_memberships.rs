//! Others follow the log of ended memberships.
//!
//! Each watcher has a task that looks at the log at short intervals, and at once after a change
//! made by this process. It goes on from snapshot to snapshot, so that nothing is missed, however
//! long a transaction took to commit, and nothing is passed on twice on one stream.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::error::Error;
use crate::model::{Batch, Cursor, End};
use crate::store::membership_log::{self, Page, Position, Snapshot};

/// How far behind a commit by another process a watcher may be.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long a watcher hears nothing at most; its cursor must move even when nothing happens.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(5);
/// How many entries one batch carries: far below the largest message of gRPC.
const ENTRIES_PER_BATCH: i64 = 1_000;
/// How many batches wait for a slow watcher before the log is not read any further for it.
const BATCHES_AHEAD: usize = 2;
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// Starts to pass on what was committed from the cursor on, or from now on when there is none. The
/// batches end with an error when the log cannot be read, and without one when the process drains.
pub(crate) fn watch_memberships(
    app: &App,
    cursor: Option<Cursor>,
) -> mpsc::Receiver<Result<Batch, Error>> {
    let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
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
            // A full channel holds enough for the watcher to know that something is wrong when it
            // ends.
            let _ = batches.try_send(Err(error));
        }
    });
    receiver
}

/// Why a watcher is no longer served.
enum Stop {
    /// It has gone away.
    Gone,
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
    /// Nothing before the first batch, which is sent at once.
    last_sent: Option<Instant>,
}

impl Watcher {
    async fn run(mut self, cursor: Option<Cursor>) -> Result<(), Stop> {
        let mut seen = match cursor {
            Some(cursor) => Snapshot::below(cursor),
            None => self.current_snapshot().await?,
        };
        loop {
            self.membership_ended.borrow_and_update();
            seen = self.pass_on_what_is_new(seen).await?;
            self.wait().await?;
        }
    }

    /// Passes on everything that the snapshot has not seen; returns a snapshot that has.
    async fn pass_on_what_is_new(&mut self, seen: Snapshot) -> Result<Snapshot, Stop> {
        let mut page = self.read(&seen, Position::START).await?;
        // Later pages may show a little more than this one's snapshot has seen; that comes again
        // with the next look.
        let snapshot = page.snapshot.clone();
        while !page.is_cut_off && page.ends.len() as i64 == ENTRIES_PER_BATCH {
            let position = page.position;
            self.send(page.ends, seen.cursor(), false).await?;
            page = self.read(&seen, position).await?;
        }
        if page.is_cut_off {
            self.send(Vec::new(), snapshot.cursor(), true).await?;
        } else if !page.ends.is_empty() || self.is_silent_for_long() {
            self.send(page.ends, snapshot.cursor(), false).await?;
        }
        Ok(snapshot)
    }

    fn is_silent_for_long(&self) -> bool {
        self.last_sent
            .is_none_or(|last_sent| last_sent.elapsed() + POLL_INTERVAL >= SIGN_OF_LIFE_INTERVAL)
    }

    async fn wait(&mut self) -> Result<(), Stop> {
        tokio::select! {
            () = sleep(POLL_INTERVAL) => Ok(()),
            // The sender lives in the app, which this watcher holds.
            _ = self.membership_ended.changed() => Ok(()),
            () = self.batches.closed() => Err(Stop::Gone),
        }
    }

    async fn send(&mut self, ends: Vec<End>, cursor: Cursor, reset: bool) -> Result<(), Stop> {
        let batch = Batch { ends, cursor, reset };
        self.batches.send(Ok(batch)).await.map_err(|_| Stop::Gone)?;
        self.last_sent = Some(Instant::now());
        Ok(())
    }

    async fn current_snapshot(&self) -> Result<Snapshot, Stop> {
        let read = async {
            let mut conn = self.app.pool.acquire().await?;
            membership_log::current_snapshot(&mut conn).await
        };
        Ok(timeout(READ_DEADLINE, read).await.map_err(|_| Error::DatabaseTooSlow)??)
    }

    async fn read(&self, seen: &Snapshot, after: Position) -> Result<Page, Stop> {
        let read = async {
            let mut conn = self.app.pool.acquire().await?;
            membership_log::read(&mut conn, seen, after, ENTRIES_PER_BATCH).await
        };
        Ok(timeout(READ_DEADLINE, read).await.map_err(|_| Error::DatabaseTooSlow)??)
    }
}
