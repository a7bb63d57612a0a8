//! Writes batches to the store.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::chain;
use parlance_runtime::postgres::{self, Pool, PooledConnection};
use parlance_runtime::trace::{Span, SpanBuilder};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::batch::{Batch, Job, SEND_TIMEOUT};
use super::metrics::Metrics;
use crate::model::{Draft, WriteResult};
use crate::pubsub::PubSub;
use crate::store::write_batch::write_batch;
use crate::store::{room_heads, with_timeout};
use crate::streams::Streams;

/// A connection that may be kept for the next batch.
pub(super) type HeldConnection = Option<PooledConnection>;

/// How long a transaction waits for the lock of a room. Shorter than the statement timeout.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// What happens with rooms that another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Skip,
    Wait,
}

/// Writes batches. In [`respond`](super::respond) it answers the senders and delivers the messages.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    pub(super) pool: Pool,
    pub(super) streams: Streams,
    pub(super) pubsub: PubSub,
    pub(super) metrics: Metrics,
}

impl Committer {
    /// Writes the messages that have no result yet, and sets their results. Messages for rooms that
    /// another transaction has locked stay without result.
    pub(super) async fn write(&self, connection: &mut HeldConnection, batch: &mut Batch) {
        let write = Box::pin(self.write_jobs(connection, Lock::Skip, &mut batch.jobs));
        batch.spans.scope(write).await;
    }

    /// Writes like [`write`](Self::write), but waits for the lock of the room, which is the same
    /// for all messages. They stay without result if the lock cannot be had in time.
    pub(super) async fn write_locked(&self, batch: &mut Batch) {
        let mut connection = None;
        let write = Box::pin(self.write_jobs(&mut connection, Lock::Wait, &mut batch.jobs));
        batch.spans.scope(write).await;
    }

    /// Returns true if the pool has no connection for other work.
    pub(super) fn is_pool_exhausted(&self) -> bool {
        self.pool.is_exhausted()
    }

    /// Writes everything in one call. Further calls are needed only for new rooms, and if the call
    /// fails because of its content: then the batch is split, so that a poison message fails alone.
    async fn write_jobs(&self, connection: &mut HeldConnection, lock: Lock, jobs: &mut [Job]) {
        let mut locked_rooms: HashSet<RoomId> = HashSet::new();
        let (first, repeats) = split_repeated_keys(jobs);
        let mut pieces = vec![first];
        while let Some(mut piece) = pieces.pop() {
            // A room that was locked for an earlier piece may be unlocked for this one, which would
            // change the order of its messages.
            piece.retain(|&index| !locked_rooms.contains(&jobs[index].draft.room_id));
            if piece.is_empty() {
                continue;
            }
            let drafts: Vec<&Draft> = piece.iter().map(|&index| &jobs[index].draft).collect();
            match self.write_piece(connection, lock, &drafts).await {
                Ok(results) => {
                    for (&index, result) in piece.iter().zip(results) {
                        jobs[index].result = result;
                    }
                    piece.retain(|&index| jobs[index].result.is_none());
                    let skipped: HashSet<RoomId> =
                        piece.iter().map(|&index| jobs[index].draft.room_id).collect();
                    let new_rooms = self.create_rooms(connection, &skipped).await;
                    locked_rooms.extend(skipped.difference(&new_rooms));
                    pieces.push(piece);
                }
                Err(error) if is_poisoned(&error) && piece.len() > 1 => {
                    // The front half is popped first, so that the order stays.
                    let back = piece.split_off(piece.len() / 2);
                    pieces.extend([back, piece]);
                }
                Err(error) if postgres::is_lock_timeout(&error) => {
                    tracing::warn!(room.id = %drafts[0].room_id, "a room is locked; retrying");
                    locked_rooms.insert(drafts[0].room_id);
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot store a batch; refusing it");
                    piece.iter().for_each(|&index| jobs[index].refuse(ErrorCode::Unavailable));
                }
            }
        }
        for (index, first) in repeats {
            jobs[index].result = jobs[first].repeated_result();
        }
    }

    /// Writes one piece in one transaction. Returns the result of each message; `None` for a room
    /// that was skipped.
    async fn write_piece(
        &self,
        connection: &mut HeldConnection,
        lock: Lock,
        drafts: &[&Draft],
    ) -> sqlx::Result<Vec<Option<WriteResult>>> {
        let started = Instant::now();
        let mut span = start_span(drafts.len());
        let write = async {
            let connection = self.connect(connection).await?;
            if lock == Lock::Skip {
                return write_batch(connection, drafts).await;
            }
            let mut transaction = connection.begin().await?;
            room_heads::lock_within(&mut transaction, drafts[0].room_id, LOCK_TIMEOUT).await?;
            let results = write_batch(&mut transaction, drafts).await?;
            transaction.commit().await?;
            Ok(results)
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

    /// Creates the rows of skipped rooms that have none. Returns the rooms that have one now. After
    /// a failure the messages are deferred, and written from there.
    async fn create_rooms(
        &self,
        connection: &mut HeldConnection,
        skipped: &HashSet<RoomId>,
    ) -> HashSet<RoomId> {
        if skipped.is_empty() {
            return HashSet::new();
        }
        let room_ids: Vec<RoomId> = skipped.iter().copied().collect();
        let create =
            async { room_heads::create_missing(self.connect(connection).await?, &room_ids).await };
        match with_timeout(SEND_TIMEOUT, create).await {
            Ok(created) => created.into_iter().collect(),
            Err(error) => {
                *connection = None;
                tracing::warn!(error = chain(&error), "cannot create the rows of new rooms");
                HashSet::new()
            }
        }
    }

    async fn connect<'a>(
        &self,
        connection: &'a mut HeldConnection,
    ) -> sqlx::Result<&'a mut PgConnection> {
        Ok(match connection {
            Some(connection) => connection,
            None => connection.insert(self.pool.acquire().await?),
        })
    }
}

/// Splits the messages without result: the first of each key, and the repeats, each with the index
/// of the first.
fn split_repeated_keys(jobs: &[Job]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let mut firsts = HashMap::with_capacity(jobs.len());
    let mut repeats = Vec::new();
    let unwritten = (0..jobs.len()).filter(|&index| jobs[index].result.is_none());
    let is_first = |&index: &usize| {
        let draft = &jobs[index].draft;
        let first =
            *firsts.entry((draft.room_id, draft.sender_id, draft.key.as_str())).or_insert(index);
        if first != index {
            repeats.push((index, first));
        }
        first == index
    };
    (unwritten.filter(is_first).collect(), repeats)
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
