//! Messages that are checked and written together.

use std::collections::HashSet;
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::{Span, SpanBuilder};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::model::{Draft, WriteResult};
use crate::streams::StreamId;

/// The maximum number of messages in one batch.
pub(super) const MAX_BATCH: usize = 400;
// The row of a batch in `batches` takes 16 bytes for each room. It is stored without compression
// and must fit on a page of 8 KiB.
const _: () = assert!(MAX_BATCH * 16 < 8_000);
/// After this time the gateway no longer waits for the answer.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// The time before its deadline after which no message begins to be written: more than a write
/// commonly takes.
const WRITE_TIME: Duration = Duration::from_millis(200);
/// The request id in the log lines of a batch, which serves several requests.
const NO_REQUEST: &str = "-";

/// One message to store.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) draft: Draft,
    /// The stream that gets the answer.
    pub(crate) stream: StreamId,
    pub(crate) request_id: u64,
    /// When the gateway answers `unavailable` by itself. Later messages of the sender may be stored
    /// elsewhere by then, so this one must not be stored any more.
    pub(crate) deadline: Instant,
    /// Ends when the result is known.
    pub(crate) span: Span,
    /// `None` while the message is neither written nor refused. A refused message keeps its place
    /// in the batch, so that answers keep the order of the messages.
    pub(crate) result: Option<WriteResult>,
}

impl Job {
    /// Returns the result of a message that repeats the key of this one.
    pub(super) fn repeated_result(&self) -> Option<WriteResult> {
        match self.result.as_ref()? {
            &WriteResult::Stored { id, seq, created_at } => {
                let first = self.draft.clone().into_message(id, seq, created_at);
                Some(WriteResult::Duplicate(first))
            }
            result => Some(result.clone()),
        }
    }

    /// Refuses the message, unless it has a result.
    pub(super) fn refuse(&mut self, code: ErrorCode) {
        self.result.get_or_insert(WriteResult::Refused(code));
    }
}

/// Removes all messages for rooms that have a message without result: the rooms that were locked.
/// A room's messages with a result go along, so that answers keep their order.
pub(super) fn take_unwritten(jobs: &mut Vec<Job>) -> Vec<Job> {
    let rooms: HashSet<RoomId> =
        jobs.iter().filter(|job| job.result.is_none()).map(|job| job.draft.room_id).collect();
    jobs.extract_if(.., |job| rooms.contains(&job.draft.room_id)).collect()
}

/// Messages in the order of arrival.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    pub(super) spans: BatchSpans,
}

impl Batch {
    pub(super) fn new(mut jobs: Vec<Job>) -> Self {
        let spans = BatchSpans(start_span(&mut jobs).into_iter().collect());
        Self { jobs, spans }
    }

    /// Refuses messages that could not be written before their deadline.
    pub(super) fn refuse_late(&mut self) {
        let last_begin = Instant::now() + WRITE_TIME;
        let is_late = |job: &&mut Job| job.deadline <= last_begin;
        self.jobs.iter_mut().filter(is_late).for_each(|job| job.refuse(ErrorCode::Unavailable));
    }
}

/// The spans of a batch, each with the context for calls that are made for the batch. Empty if no
/// message in it is recorded.
#[derive(Debug)]
pub(super) struct BatchSpans(Vec<(Span, RequestContext)>);

impl BatchSpans {
    /// Runs work for the whole batch in the context of its first recorded message.
    pub(super) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        match self.0.first() {
            None => work.await,
            Some((_, context)) => context.clone().scope(work).await,
        }
    }
}

/// Starts the span of a batch as a child of the first recorded message, and links it with all
/// recorded messages. Returns `None` if no message is recorded.
fn start_span(jobs: &mut [Job]) -> Option<(Span, RequestContext)> {
    let first = jobs.iter().find(|job| job.span.is_recorded())?;
    let size = jobs.len() as i64;
    let mut batch = first
        .span
        .start_span(|| SpanBuilder::internal("batch").with("messaging.batch.message_count", size));
    let trace = batch.trace()?;
    for job in jobs.iter_mut().filter(|job| job.span.is_recorded()) {
        job.span.note("taken into a batch");
        job.span.link(&batch);
        batch.link(&job.span);
    }
    Some((batch, RequestContext { request_id: NO_REQUEST.into(), trace, deadline: None }))
}

/// Admitted batches. Those that wait are joined into one.
pub(super) struct Inbox {
    batches: mpsc::Receiver<Batch>,
    /// The batch that did not fit into the previous one.
    left_over: Option<Batch>,
}

impl Inbox {
    pub(super) fn new(batches: mpsc::Receiver<Batch>) -> Self {
        Self { batches, left_over: None }
    }

    /// Returns everything that waits, up to the maximum of a batch. If nothing waits, calls
    /// `on_idle` and waits for the next batch. Returns `None` when admission has ended.
    pub(super) async fn next(&mut self, on_idle: impl FnOnce()) -> Option<Batch> {
        let waiting = self.left_over.take().or_else(|| self.batches.try_recv().ok());
        let mut batch = match waiting {
            Some(batch) => batch,
            None => {
                on_idle();
                self.batches.recv().await?
            }
        };
        while let Ok(next) = self.batches.try_recv() {
            if batch.jobs.len() + next.jobs.len() > MAX_BATCH {
                self.left_over = Some(next);
                break;
            }
            batch.jobs.extend(next.jobs);
            batch.spans.0.extend(next.spans.0);
        }
        Some(batch)
    }
}
