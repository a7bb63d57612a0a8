//! The batch writer: stores what collected while the previous batch was being committed.
//!
//! Idle means no waiting, busy means large batches; there are no timers. What is sent is checked by
//! `admission` and stored by `lanes`, each batch while the one before is on its way. Inside a room
//! everything keeps its order, answers included.

mod admission;
mod batch;
mod busy_rooms;
mod lanes;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use parlance_core::ErrorCode;
use parlance_runtime::Lifecycle;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};

use self::admission::Admission;
use self::batch::Inbox;
pub(crate) use self::batch::Job;
use self::busy_rooms::BusyRooms;
use self::lanes::Lanes;
use crate::bus::Bus;
use crate::gateways::Gateways;
use crate::memberships::Memberships;

/// Messages that may wait to be checked, and as many for busy rooms; beyond it the answer is
/// `unavailable` at once.
const MAX_QUEUED: usize = 16_384;
/// Messages in one batch.
const MAX_BATCH: usize = 400;
// The row of a batch in `batches` has 16 bytes for each room and must fit a page of 8 KiB, as it is
// stored in one piece.
const _: () = assert!(MAX_BATCH * 16 < 8_000);
/// Batches that are checked and wait for the store. What is checked long before it is stored, is
/// checked too early.
const MAX_CHECKED: usize = 4;
/// Who asked longer ago than this no longer waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way into the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    waiting: mpsc::Sender<Job>,
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
        let (waiting, jobs) = mpsc::channel(MAX_QUEUED);
        let (checked, batches) = mpsc::channel(MAX_CHECKED);
        let (detour, diverted) = mpsc::channel(MAX_QUEUED);
        let is_idle = Arc::new(watch::channel(true).0);

        let admission =
            Admission { memberships: memberships.clone(), checked, is_idle: is_idle.clone() };
        let lanes = Lanes {
            pool: pool.clone(),
            gateways: gateways.clone(),
            bus: bus.clone(),
            metrics: metrics.clone(),
            busy_rooms: BusyRooms::default(),
        };
        lifecycle.spawn_task("admission", admission.run(jobs));
        lifecycle.spawn_task("detour", lanes.clone().run_detour(diverted));
        lifecycle
            .spawn_task("fast lane", lanes.run_fast_lane(Inbox::new(batches), is_idle, detour));
        Self { waiting, gateways: gateways.clone(), metrics }
    }

    /// Takes a message in. The answer goes to the link, at once if too many wait.
    pub(crate) fn submit(&self, job: Job) {
        if let Err(error) = self.waiting.try_send(job) {
            self.metrics.count_refused(ErrorCode::Unavailable, 1);
            let answers = vec![error.into_inner().refusal(ErrorCode::Unavailable)];
            self.gateways.deliver(&[], answers);
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
                .with_description(
                    "Sends: messages that were stored, and what became of the others.",
                )
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
                .with_boundaries(vec![
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
                ])
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

    /// Counts sends that were not stored: refused by a rule, or failed for no fault of the
    /// sender's.
    fn count_refused(&self, code: ErrorCode, sends: usize) {
        let outcome = match code {
            ErrorCode::Unavailable | ErrorCode::Internal => "failed",
            _ => "refused",
        };
        let labels = [KeyValue::new("outcome", outcome), KeyValue::new("error.type", code.name())];
        self.messages.add(sends as u64, &labels);
    }
}
