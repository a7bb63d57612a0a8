//! Writes batches to the store.

use std::collections::HashSet;
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::chain;
use parlance_runtime::postgres;
use parlance_runtime::trace::{Span, SpanBuilder};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::time::Instant;

use super::batch::{Batch, Job, SEND_TIMEOUT};
use super::metrics::Metrics;
use crate::model::{Draft, WriteResult};
use crate::pubsub::PubSub;
use crate::store::write_batch::write_batch;
use crate::store::{room_heads, with_timeout};
use crate::streams::Streams;

/// A connection that may be kept for the next batch.
pub(super) type HeldConnection = Option<PoolConnection<Postgres>>;

/// What one call wrote.
struct Written {
    /// The result of each message; `None` for a room that was skipped.
    results: Vec<Option<WriteResult>>,
    /// The skipped rooms that had no row yet, and have one now.
    new_rooms: HashSet<RoomId>,
}

/// Writes batches. In [`respond`](super::respond) it answers the senders and delivers the messages.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    pub(super) pool: PgPool,
    pub(super) streams: Streams,
    pub(super) pubsub: PubSub,
    pub(super) metrics: Metrics,
}

impl Committer {
    /// Writes the messages that have no result yet, and sets their results. Messages for rooms that
    /// another transaction has locked stay without result.
    pub(super) async fn write(&self, connection: &mut HeldConnection, batch: &mut Batch) {
        let write = Box::pin(self.write_jobs(connection, &mut batch.jobs));
        batch.spans.scope(write).await;
    }

    /// Waits until no other transaction has locked the room, or until the timeout.
    pub(super) async fn wait_for_lock(&self, room_id: RoomId, timeout: Duration) {
        let lock = async { room_heads::lock(&mut *self.pool.acquire().await?, room_id).await };
        if let Err(error) = with_timeout(timeout, lock).await {
            tracing::warn!(room.id = %room_id, error = chain(&error), "a room is locked; retrying");
        }
    }

    /// Returns true if the pool has no connection for other work.
    pub(super) fn is_pool_exhausted(&self) -> bool {
        self.pool.num_idle() == 0 && self.pool.size() >= self.pool.options().get_max_connections()
    }

    /// Writes everything in one call. Further calls are needed only for repeated keys, which then
    /// find the first message, for new rooms, and if the call fails because of its content: then
    /// the batch is split, so that a poison message fails alone.
    async fn write_jobs(&self, connection: &mut HeldConnection, jobs: &mut [Job]) {
        let mut locked_rooms: HashSet<RoomId> = HashSet::new();
        let unwritten = (0..jobs.len()).filter(|&index| jobs[index].result.is_none()).collect();
        let mut pieces = split_repeated_keys(unwritten, jobs);
        while let Some(mut piece) = pieces.pop() {
            // A room that was locked for an earlier piece may be unlocked for this one, which would
            // change the order of its messages.
            piece.retain(|&index| !locked_rooms.contains(&jobs[index].draft.room_id));
            if piece.is_empty() {
                continue;
            }
            let drafts: Vec<&Draft> = piece.iter().map(|&index| &jobs[index].draft).collect();
            match self.write_piece(connection, &drafts).await {
                Ok(Written { results, new_rooms }) => {
                    for (&index, result) in piece.iter().zip(results) {
                        jobs[index].result = result;
                    }
                    piece.retain(|&index| jobs[index].result.is_none());
                    let skipped = piece.iter().map(|&index| jobs[index].draft.room_id);
                    locked_rooms.extend(skipped.filter(|room_id| !new_rooms.contains(room_id)));
                    pieces.push(piece);
                }
                Err(error) if is_poisoned(&error) && piece.len() > 1 => {
                    // The front half is popped first, so that the order stays.
                    let back = piece.split_off(piece.len() / 2);
                    pieces.extend([back, piece]);
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot store a batch; refusing it");
                    piece.iter().for_each(|&index| jobs[index].refuse(ErrorCode::Unavailable));
                }
            }
        }
    }

    async fn write_piece(
        &self,
        connection: &mut HeldConnection,
        drafts: &[&Draft],
    ) -> sqlx::Result<Written> {
        let started = Instant::now();
        let mut span = start_span(drafts.len());
        let write = async {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(self.pool.acquire().await?),
            };
            let results = write_batch(connection, drafts).await?;
            let skipped = drafts.iter().zip(&results).filter(|(_, result)| result.is_none());
            let skipped: Vec<RoomId> = skipped.map(|(draft, _)| draft.room_id).collect();
            let new_rooms = match &skipped[..] {
                [] => Vec::new(),
                // After a failure the messages are deferred, and written from there.
                rooms => room_heads::create_missing(connection, rooms).await.unwrap_or_default(),
            };
            Ok(Written { results, new_rooms: new_rooms.into_iter().collect() })
        };
        let written = with_timeout(SEND_TIMEOUT, write).await;
        match &written {
            Ok(_) => {
                self.metrics.commit_duration.record(started.elapsed().as_secs_f64(), &[]);
                self.metrics.batch_size.record(drafts.len() as u64, &[]);
            }
            Err(error) => {
                *connection = None;
                span.fail(postgres::code_from_error(error).name());
            }
        }
        written
    }
}

/// Splits messages so that no key occurs twice in a piece. The last piece is to be written first.
fn split_repeated_keys(mut piece: Vec<usize>, jobs: &[Job]) -> Vec<Vec<usize>> {
    let mut pieces = Vec::new();
    while !piece.is_empty() {
        let mut keys = HashSet::with_capacity(piece.len());
        let is_repeated = |index: &mut usize| {
            let draft = &jobs[*index].draft;
            !keys.insert((draft.room_id, draft.sender_id, draft.key.as_str()))
        };
        let repeated = piece.extract_if(.., is_repeated).collect();
        pieces.push(std::mem::replace(&mut piece, repeated));
    }
    pieces.reverse();
    pieces
}

/// Returns true if the failure is one of the content, not of the store: smaller batches may
/// succeed.
fn is_poisoned(error: &sqlx::Error) -> bool {
    postgres::code_from_error(error) == ErrorCode::Internal
}

fn start_span(messages: usize) -> Span {
    const PROCEDURE: &str = "messaging.write_batch";
    RequestContext::start_span(|| {
        SpanBuilder::client(PROCEDURE)
            .with("db.system.name", "postgresql")
            .with("db.stored_procedure.name", PROCEDURE)
            .with("db.operation.batch.size", messages as i64)
    })
}
