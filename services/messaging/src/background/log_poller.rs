//! The log poller: reads from `batches` what was committed, and delivers the `last_seq` of each
//! room whose events this replica has not delivered.
//!
//! Redis is a hint; the table `batches` is the truth. A crash between commit and publication, a
//! lost connection, an unavailable Redis, a slow listener: the log poller makes up for each of them
//! within two intervals. If a later event of the room has arrived, the gateway itself sees the gap.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::Counter;
use parlance_core::RoomId;
use parlance_runtime::error::chain;
use parlance_runtime::postgres::Pool;
use parlance_runtime::{Lifecycle, ticks};
use tokio::time::Instant;

use crate::store::batches::{self, Commits, Cursor};
use crate::store::{room_heads, with_timeout};
use crate::streams::Streams;

/// Bounds one statement.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Rooms whose `last_seq` one statement reads.
const MAX_ROOMS: usize = 10_000;
/// The maximum age of a cursor. Rows of `batches` are kept for ten minutes; after half of that
/// without a read, the poller compares the `last_seq` of all rooms instead.
const MAX_CURSOR_AGE: Duration = Duration::from_secs(300);

/// Starts the log poller.
pub(crate) fn start(pool: Pool, streams: Streams, poll_interval: Duration, lifecycle: &Lifecycle) {
    let rooms = global::meter("parlance")
        .u64_counter("parlance.messaging.log_poller.rooms")
        .with_description("Rooms with changes that only the log poller found.")
        .build();
    lifecycle.spawn_task("log poller", LogPoller { pool, streams, rooms }.run(poll_interval));
}

struct LogPoller {
    pool: Pool,
    streams: Streams,
    rooms: Counter<u64>,
}

impl LogPoller {
    async fn run(self, poll_interval: Duration) -> anyhow::Result<()> {
        let mut ticks = ticks(poll_interval);
        let mut cursor: Option<Cursor> = None;
        let mut last_read = Instant::now();
        loop {
            ticks.tick().await;
            let valid_cursor = cursor.as_ref().filter(|_| last_read.elapsed() < MAX_CURSOR_AGE);
            match self.poll(valid_cursor).await {
                Ok(next_cursor) => (cursor, last_read) = (Some(next_cursor), Instant::now()),
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "log poller could not read the store; retrying"
                    );
                }
            }
        }
    }

    /// Reads from the cursor on. Without a cursor, or if too much was committed since, compares the
    /// `last_seq` of all rooms with subscribers. Returns the next cursor.
    async fn poll(&self, cursor: Option<&Cursor>) -> sqlx::Result<Cursor> {
        if let Some(cursor) = cursor
            && let Some(commits) = self.read_from(cursor).await?
        {
            self.deliver(commits.last_seqs);
            return Ok(commits.next_cursor);
        }
        let current = async { batches::current_cursor(&mut *self.pool.acquire().await?).await };
        let next_cursor = with_timeout(READ_TIMEOUT, current).await?;
        for rooms in self.streams.rooms().chunks(MAX_ROOMS) {
            let read = async { room_heads::read(&mut *self.pool.acquire().await?, rooms).await };
            self.deliver(with_timeout(READ_TIMEOUT, read).await?);
        }
        Ok(next_cursor)
    }

    async fn read_from(&self, cursor: &Cursor) -> sqlx::Result<Option<Commits>> {
        let read = async { batches::read_from(&mut *self.pool.acquire().await?, cursor).await };
        with_timeout(READ_TIMEOUT, read).await
    }

    fn deliver(&self, last_seqs: HashMap<RoomId, i64>) {
        self.rooms.add(self.streams.deliver_last_seqs(last_seqs) as u64, &[]);
    }
}
