//! The batch writer: stores what collected while the previous batch was being committed.
//!
//! Idle means no waiting, busy means large batches; there are no timers. Rooms are spread over a few lanes, so that one stuck
//! room does not hold up the others; inside a lane everything keeps its order.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::Answer;
use parlance_runtime::error::chain;
use parlance_runtime::trace::Span;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::gateways::{Delivery, Gateways, LinkId};
use crate::grpc::encode;
use crate::memberships::{Memberships, Question};
use crate::model::{Draft, Event, Outcome, Written};
use crate::steps;
use crate::store::messages;

const LANES: usize = 2;
/// Drafts that may wait in one lane; beyond it the answer is `unavailable` at once.
const MAX_QUEUED: usize = 8_192;
/// Drafts in one batch.
const MAX_BATCH: usize = 400;
// The row of a batch in `batches` has 16 bytes for each room and must fit a page of 8 KiB, as it is stored in one piece.
const _: () = assert!(MAX_BATCH * 16 < 8_000);
/// Who asked longer ago than this no longer waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message to store, and whom to answer.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) draft: Draft,
    pub(crate) link: LinkId,
    pub(crate) request_id: u64,
    pub(crate) received_at: Instant,
    /// Lasts until it is known what has come of it.
    pub(crate) span: Span,
}

impl Job {
    /// The answer to whoever sent it.
    fn refuse(&mut self, code: ErrorCode) -> (LinkId, Answer) {
        self.span.fail(code.name());
        (self.link, encode::refused(self.request_id, code))
    }
}

/// The way into the lanes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    lanes: Vec<mpsc::Sender<Job>>,
    gateways: Gateways,
    metrics: Metrics,
}

impl Writer {
    pub(crate) fn start(
        pool: &PgPool,
        memberships: &Memberships,
        gateways: &Gateways,
        bus: &Bus,
        lifecycle: &Lifecycle,
    ) -> Self {
        let metrics = Metrics::new();
        let start_lane = |_| {
            let (sender, jobs) = mpsc::channel(MAX_QUEUED);
            let lane = Lane {
                pool: pool.clone(),
                memberships: memberships.clone(),
                gateways: gateways.clone(),
                bus: bus.clone(),
                metrics: metrics.clone(),
            };
            lifecycle.spawn_companion("writer lane", lane.run(jobs));
            sender
        };
        Self { lanes: (0..LANES).map(start_lane).collect(), gateways: gateways.clone(), metrics }
    }

    /// Takes a message in. The answer goes to the link, at once if the lane is full.
    pub(crate) fn submit(&self, job: Job) {
        let lane = &self.lanes[job.draft.room_id.get().unsigned_abs() as usize % LANES];
        if let Err(error) = lane.try_send(job) {
            let (mpsc::error::TrySendError::Full(mut job) | mpsc::error::TrySendError::Closed(mut job)) =
                error;
            self.metrics.count_refused(ErrorCode::Unavailable, 1);
            let answers = vec![job.refuse(ErrorCode::Unavailable)];
            self.gateways.deliver(Delivery { events: Vec::new(), answers });
        }
    }
}

#[derive(Clone, Debug)]
struct Metrics {
    messages: Counter<u64>,
    batch_size: Histogram<u64>,
    commit_duration: Histogram<f64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("parlance");
        let metrics = Self {
            messages: meter
                .u64_counter("parlance.messaging.messages")
                .with_description("Sends: messages that were stored, and what became of the others.")
                .build(),
            batch_size: meter
                .u64_histogram("parlance.messaging.batch.size")
                .with_description("Messages stored in one call.")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0])
                .build(),
            commit_duration: meter
                .f64_histogram("parlance.messaging.commit.duration")
                .with_description("Time to store a batch, flush included.")
                .with_unit("s")
                .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
                .build(),
        };
        metrics.count_refused(ErrorCode::Unavailable, 0);
        metrics
    }

    fn count(&self, messages: usize, outcome: &'static str) {
        if messages > 0 {
            self.messages.add(messages as u64, &[KeyValue::new("outcome", outcome)]);
        }
    }

    /// Counts sends that were not stored: refused by a rule, or failed for no fault of the sender's.
    fn count_refused(&self, code: ErrorCode, sends: usize) {
        let outcome = match code {
            ErrorCode::Unavailable | ErrorCode::Internal => "failed",
            _ => "refused",
        };
        let labels = [KeyValue::new("outcome", outcome), KeyValue::new("error.type", code.name())];
        self.messages.add(sends as u64, &labels);
    }
}

/// One lane: a queue and the task that empties it.
struct Lane {
    pool: PgPool,
    memberships: Memberships,
    gateways: Gateways,
    bus: Bus,
    metrics: Metrics,
}

impl Lane {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let mut batch = std::mem::take(&mut batch);
            match steps::batch(&mut batch) {
                None => self.handle(batch).await,
                Some((_span, context)) => Box::pin(context.scope(self.handle(batch))).await,
            }
        }
        Ok(())
    }

    async fn handle(&self, mut batch: Vec<Job>) {
        let mut refusals = Vec::new();
        batch.retain_mut(|job| {
            let is_awaited = job.received_at.elapsed() < PATIENCE;
            if !is_awaited {
                self.metrics.count_refused(ErrorCode::Unavailable, 1);
                refusals.push(job.refuse(ErrorCode::Unavailable));
            }
            is_awaited
        });
        let batch = self.admit(batch, &mut refusals).await;
        if !refusals.is_empty() {
            self.gateways.deliver(Delivery { events: Vec::new(), answers: refusals });
        }
        self.store(batch).await;
    }

    /// Keeps what members sent, in its order, and refuses the rest.
    async fn admit(&self, batch: Vec<Job>, refusals: &mut Vec<(LinkId, Answer)>) -> Vec<Job> {
        if batch.is_empty() {
            return batch;
        }
        let question = |job: &Job| Question { room_id: job.draft.room_id, user_id: job.draft.sender_id };
        let answers = self.memberships.check_all(batch.iter().map(question).collect()).await;
        let mut admitted = Vec::with_capacity(batch.len());
        for (place, mut job) in batch.into_iter().enumerate() {
            let answer = answers.as_ref().map_err(|&code| code).and_then(|answers| answers[place]);
            match answer {
                Ok(_) => {
                    job.span.note("admitted");
                    admitted.push(job);
                }
                Err(code) => {
                    self.metrics.count_refused(code, 1);
                    refusals.push(job.refuse(code));
                }
            }
        }
        admitted
    }

    /// Stores the batch. When it is refused for its content it is split, so that a poison item fails alone.
    async fn store(&self, batch: Vec<Job>) {
        let mut pieces = vec![batch];
        while let Some(mut piece) = pieces.pop() {
            if piece.is_empty() {
                continue;
            }
            let drafts: Vec<&Draft> = piece.iter().map(|job| &job.draft).collect();
            let started = Instant::now();
            let mut span = steps::write_batch(piece.len());
            let write = tokio::time::timeout(PATIENCE, messages::write_batch(&self.pool, &drafts));
            match write.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(outcomes) => {
                    drop(span);
                    self.metrics.commit_duration.record(started.elapsed().as_secs_f64(), &[]);
                    self.metrics.batch_size.record(piece.len() as u64, &[]);
                    self.tell(piece, outcomes);
                }
                Err(error) => {
                    let code = postgres::code_of_error(&error);
                    span.fail(code.name());
                    if code == ErrorCode::Internal && piece.len() > 1 {
                        // The front half is popped first: the order stays.
                        let back = piece.split_off(piece.len() / 2);
                        pieces.push(back);
                        pieces.push(piece);
                        continue;
                    }
                    tracing::warn!(
                        error = chain(&error),
                        messages = piece.len(),
                        "a batch could not be stored"
                    );
                    self.refuse(&mut piece, ErrorCode::Unavailable);
                }
            }
        }
    }

    /// Answers the senders and passes the new messages on, here first, then over Redis.
    fn tell(&self, batch: Vec<Job>, outcomes: Vec<Outcome>) {
        let mut delivery = Delivery::default();
        let mut known = 0;
        for (mut job, outcome) in batch.into_iter().zip(outcomes) {
            job.span.note("committed");
            let written = job.draft.written(outcome);
            delivery.answers.push((job.link, encode::sent(job.request_id, &written)));
            match written {
                Written::Stored(message) => {
                    delivery.events.push(Event::created(message, job.span.traceparent()));
                }
                Written::Duplicate(_) => known += 1,
                Written::RoomDeleted => {
                    job.span.fail(ErrorCode::RoomNotFound.name());
                    self.metrics.count_refused(ErrorCode::RoomNotFound, 1);
                }
            }
        }
        self.metrics.count(delivery.events.len(), "stored");
        self.metrics.count(known, "known");
        let publications = group_by_room(&delivery.events);
        self.gateways.deliver(delivery);
        for (room_id, events) in publications {
            self.bus.publish(room_id, &events);
        }
    }

    fn refuse(&self, batch: &mut [Job], code: ErrorCode) {
        self.metrics.count_refused(code, batch.len());
        let answers = batch.iter_mut().map(|job| job.refuse(code)).collect();
        self.gateways.deliver(Delivery { events: Vec::new(), answers });
    }
}

fn group_by_room(events: &[Event]) -> HashMap<RoomId, Vec<Event>> {
    let mut rooms: HashMap<RoomId, Vec<Event>> = HashMap::new();
    for event in events {
        rooms.entry(event.room_id).or_default().push(event.clone());
    }
    rooms
}
