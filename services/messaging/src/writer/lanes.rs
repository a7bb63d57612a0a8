//! Stores what was checked, and tells what has come of it.
//!
//! Nearly everything goes down the fast lane, one batch after the other, and never waits for a
//! lock: rooms whose heads somebody else has locked, such as another replica that writes to them,
//! are left out. Those go on the detour, which waits, and stay on it until nothing for them is left
//! there, so that their order is kept. A room that is stuck holds up nothing but other rooms on the
//! detour.

use std::collections::HashSet;
use std::sync::Arc;

use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::error::chain;
use parlance_runtime::postgres;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::batch::{Batch, Inbox, Job};
use super::busy_rooms::BusyRooms;
use super::{MAX_BATCH, Metrics, PATIENCE};
use crate::bus::Bus;
use crate::gateways::Gateways;
use crate::grpc::encode;
use crate::model::{Draft, Event, Outcome, Written};
use crate::steps;
use crate::store::messages::{self, FreshKeys, Locked};

/// What both lanes work with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lanes {
    pub(super) pool: PgPool,
    pub(super) gateways: Gateways,
    pub(super) bus: Bus,
    pub(super) metrics: Metrics,
    pub(super) busy_rooms: BusyRooms,
}

/// The connection of a lane while it has one batch after the other: what Postgres knows of them
/// stays in the cache of one core.
type Held = Option<PoolConnection<Postgres>>;

/// What has come of a message.
type Fate = Result<Outcome, ErrorCode>;

impl Lanes {
    /// Everybody is told of a batch while the next one is on its way to the store, which need not
    /// wait for that.
    pub(super) async fn run_fast_lane(
        self,
        mut inbox: Inbox,
        is_idle: Arc<watch::Sender<bool>>,
        detour: mpsc::Sender<Job>,
    ) -> anyhow::Result<()> {
        let (mut untold, mut connection) = (None, None);
        loop {
            let next = match inbox.take() {
                None => {
                    self.tell_of(untold.take());
                    is_idle.send_replace(true);
                    connection = None;
                    inbox.wait().await
                }
                some => some,
            };
            let Some(mut batch) = next else { return Ok(()) };
            is_idle.send_replace(false);
            batch.jobs.iter_mut().for_each(Job::refuse_if_late);
            self.divert(self.busy_rooms.take(&mut batch.jobs), &detour);

            let write = batch.scope(self.write(&mut connection, &batch.jobs, Locked::LeftOut));
            let (fates, ()) = tokio::join!(write, async { self.tell_of(untold.take()) });
            let (fates, busy) = part(&mut batch.jobs, fates);
            self.divert(busy, &detour);
            untold = Some((batch, fates));
            if self.pool.num_idle() == 0
                && self.pool.size() >= self.pool.options().get_max_connections()
            {
                // Somebody else may be waiting for it.
                connection = None;
            }
        }
    }

    /// Stores what waits for rooms that are busy. Those that no longer are need not wait for those
    /// that still are.
    pub(super) async fn run_detour(self, mut waiting: mpsc::Receiver<Job>) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, MAX_BATCH).await > 0 {
            for locked in [Locked::LeftOut, Locked::WaitedFor] {
                if jobs.is_empty() {
                    break;
                }
                let mut batch = Batch::of(std::mem::take(&mut jobs));
                batch.jobs.iter_mut().for_each(Job::refuse_if_late);
                let fates = batch.scope(self.write(&mut None, &batch.jobs, locked)).await;
                let (fates, busy) = part(&mut batch.jobs, fates);
                let room_ids: Vec<RoomId> =
                    batch.jobs.iter().map(|job| job.draft.room_id).collect();
                self.tell(batch, fates);
                room_ids.into_iter().for_each(|room_id| self.busy_rooms.leave(room_id));
                jobs = busy;
            }
        }
        Ok(())
    }

    fn divert(&self, jobs: Vec<Job>, detour: &mpsc::Sender<Job>) {
        let mut answers = Vec::new();
        for job in jobs {
            let room_id = job.draft.room_id;
            self.busy_rooms.enter(room_id);
            if let Err(error) = detour.try_send(job) {
                self.busy_rooms.leave(room_id);
                self.metrics.count_refused(ErrorCode::Unavailable, 1);
                answers.push(error.into_inner().refusal(ErrorCode::Unavailable));
            }
        }
        if !answers.is_empty() {
            self.gateways.deliver(&[], answers);
        }
    }

    /// Stores what was not refused; what has come of each message, nothing where the room is busy.
    /// A batch that is refused for its content is split, so that a poison item fails alone.
    async fn write(
        &self,
        connection: &mut Held,
        jobs: &[Job],
        locked: Locked,
    ) -> Vec<Option<Fate>> {
        let refusal = |job: &Job| Some(Err(job.refused.unwrap_or(ErrorCode::Unavailable)));
        let mut fates: Vec<Option<Fate>> = jobs.iter().map(refusal).collect();
        let admitted: Vec<usize> =
            (0..jobs.len()).filter(|&place| jobs[place].refused.is_none()).collect();
        let mut pieces = vec![(&admitted[..], locked, FreshKeys::Trusted)];
        while let Some((piece, locked, fresh_keys)) =
            pieces.pop().filter(|(piece, ..)| !piece.is_empty())
        {
            let drafts: Vec<&Draft> = piece.iter().map(|&place| &jobs[place].draft).collect();
            let error = match self.write_piece(connection, &drafts, locked, fresh_keys).await {
                Ok(outcomes) => {
                    for (&place, outcome) in piece.iter().zip(outcomes) {
                        fates[place] = outcome.map(Ok);
                    }
                    continue;
                }
                Err(error) => error,
            };
            let is_refused = postgres::code_from_error(&error) == ErrorCode::Internal;
            if is_refused && fresh_keys == FreshKeys::Trusted {
                pieces.push((piece, locked, FreshKeys::LookedFor));
            } else if is_refused && piece.len() > 1 {
                // The front half is popped first: the order stays. It would not if a room was left
                // out in front and not behind.
                let (front, back) = piece.split_at(piece.len() / 2);
                pieces.extend([back, front].map(|half| (half, Locked::WaitedFor, fresh_keys)));
            } else {
                tracing::warn!(
                    error = chain(&error),
                    messages = piece.len(),
                    "a batch could not be stored"
                );
            }
        }
        fates
    }

    async fn write_piece(
        &self,
        connection: &mut Held,
        drafts: &[&Draft],
        locked: Locked,
        fresh_keys: FreshKeys,
    ) -> sqlx::Result<Vec<Option<Outcome>>> {
        let started = Instant::now();
        let mut span = steps::write_batch(drafts.len());
        let write = async {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(self.pool.acquire().await?),
            };
            messages::write_batch(connection, drafts, locked, fresh_keys).await
        };
        let written = timeout(PATIENCE, write).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
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

    fn tell_of(&self, stored: Option<(Batch, Vec<Fate>)>) {
        if let Some((batch, fates)) = stored {
            self.tell(batch, fates);
        }
    }

    /// Answers the senders and passes the new messages on, here first, then over Redis.
    fn tell(&self, batch: Batch, fates: Vec<Fate>) {
        let mut events = Vec::with_capacity(batch.jobs.len());
        let mut answers = Vec::with_capacity(batch.jobs.len());
        let mut known = 0;
        for (mut job, fate) in batch.jobs.into_iter().zip(fates) {
            let written = match fate {
                Ok(outcome) => {
                    job.span.note("committed");
                    job.draft.written(outcome)
                }
                Err(code) => {
                    self.metrics.count_refused(code, 1);
                    answers.push(job.refusal(code));
                    continue;
                }
            };
            answers.push((job.link, encode::sent(job.request_id, &written)));
            match written {
                Written::Stored(message) => {
                    events.push(Event::created(message, job.span.traceparent()));
                }
                Written::Duplicate(_) => known += 1,
                Written::RoomDeleted => {
                    job.span.fail(ErrorCode::RoomNotFound.name());
                    self.metrics.count_refused(ErrorCode::RoomNotFound, 1);
                }
            }
        }
        self.metrics.count(events.len(), "stored");
        self.metrics.count(known, "known");
        self.gateways.deliver(&events, answers);
        self.bus.publish(&events);
    }
}

/// Takes out all messages of rooms that were left out, refused ones included; what has come of the
/// others, and those.
fn part(jobs: &mut Vec<Job>, fates: Vec<Option<Fate>>) -> (Vec<Fate>, Vec<Job>) {
    let left_out: HashSet<RoomId> = jobs
        .iter()
        .zip(&fates)
        .filter(|(_, fate)| fate.is_none())
        .map(|(job, _)| job.draft.room_id)
        .collect();
    let fates = jobs.iter().zip(fates).filter(|(job, _)| !left_out.contains(&job.draft.room_id));
    let fates = fates.filter_map(|(_, fate)| fate).collect();
    let busy = jobs.extract_if(.., |job| left_out.contains(&job.draft.room_id)).collect();
    (fates, busy)
}
