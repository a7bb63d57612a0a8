//! The log poller: reads from `batches` what was committed, and delivers the `last_seq` of each
//! room whose events this replica has not delivered.
//!
//! Redis is a hint; the table `batches` is the truth. A crash between commit and publication, a
//! lost connection, an unavailable Redis, a slow listener: the log poller makes up for each of them
//! within two intervals. If a later event of the room has arrived, the gateway itself sees the gap.

use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::Counter;
use parlance_runtime::error::chain;
use parlance_runtime::{Lifecycle, ticks};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::store::{batches, room_heads, with_timeout};
use crate::streams::Streams;

const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum age of a cursor. Rows of `batches` are kept for ten minutes; after half of that
/// without a read, the poller compares the `last_seq` of all rooms instead.
const MAX_CURSOR_AGE: Duration = Duration::from_secs(300);

/// Starts the log poller.
pub(crate) fn start(
    pool: PgPool,
    streams: Streams,
    poll_interval: Duration,
    lifecycle: &Lifecycle,
) {
    let rooms = global::meter("parlance")
        .u64_counter("parlance.messaging.log_poller.rooms")
        .with_description("Rooms with changes that only the log poller found.")
        .build();
    lifecycle.spawn_task("log poller", LogPoller { pool, streams, rooms }.run(poll_interval));
}

struct LogPoller {
    pool: PgPool,
    streams: Streams,
    rooms: Counter<u64>,
}

impl LogPoller {
    async fn run(self, poll_interval: Duration) -> anyhow::Result<()> {
        let mut ticks = ticks(poll_interval);
        let mut cursor: Option<i64> = None;
        let mut last_read = Instant::now();
        loop {
            ticks.tick().await;
            let valid_cursor = cursor.filter(|_| last_read.elapsed() < MAX_CURSOR_AGE);
            let polled = with_timeout(READ_TIMEOUT, self.poll(valid_cursor)).await;
            if let Err(error) = &polled {
                tracing::warn!(
                    error = chain(error),
                    "log poller could not read the store; retrying"
                );
            }
            if let Ok(next_cursor) = polled {
                (cursor, last_read) = (Some(next_cursor), Instant::now());
            }
        }
    }

    /// Reads from the cursor on or, without a cursor, the `last_seq` of all rooms with subscribers.
    /// Returns the next cursor.
    async fn poll(&self, cursor: Option<i64>) -> sqlx::Result<i64> {
        let mut conn = self.pool.acquire().await?;
        let (last_seqs, next_cursor) = match cursor {
            None => {
                let next_cursor = batches::current_cursor(&mut conn).await?;
                (room_heads::read(&mut conn, &self.streams.rooms()).await?, next_cursor)
            }
            Some(cursor) => {
                let commits = batches::read_from(&mut conn, cursor).await?;
                (commits.last_seqs, commits.next_cursor)
            }
        };
        self.rooms.add(self.streams.deliver_last_seqs(last_seqs) as u64, &[]);
        Ok(next_cursor)
    }
}
