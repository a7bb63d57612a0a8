//! Messages that are handled together.

use parlance_core::ErrorCode;
use parlance_proto::messaging::Answer;
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::Span;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{MAX_BATCH, PATIENCE};
use crate::gateways::LinkId;
use crate::grpc::encode;
use crate::model::Draft;
use crate::steps;

/// A message to store, and whom to answer.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) draft: Draft,
    pub(crate) link: LinkId,
    pub(crate) request_id: u64,
    pub(crate) received_at: Instant,
    /// Lasts until it is known what has come of it.
    pub(crate) span: Span,
    /// Why it is not stored, once that is known. It stays where it is, so that answers come in the
    /// order of the messages.
    pub(crate) refused: Option<ErrorCode>,
}

impl Job {
    /// Refuses it if whoever sent it no longer waits, unless it was refused before.
    pub(super) fn refuse_if_late(&mut self) {
        if self.received_at.elapsed() >= PATIENCE {
            self.refused.get_or_insert(ErrorCode::Unavailable);
        }
    }

    /// The answer to whoever sent it.
    pub(super) fn refusal(&mut self, code: ErrorCode) -> (LinkId, Answer) {
        self.span.fail(code.name());
        (self.link, encode::refused(self.request_id, code))
    }
}

/// Messages in the order of arrival.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    /// The steps as which it is recorded, and in what calls for it are made.
    recorded: Vec<(Span, RequestContext)>,
}

impl Batch {
    pub(super) fn of(mut jobs: Vec<Job>) -> Self {
        let recorded = steps::batch(&mut jobs).into_iter().collect();
        Self { jobs, recorded }
    }

    fn append(&mut self, mut other: Self) {
        self.jobs.append(&mut other.jobs);
        self.recorded.append(&mut other.recorded);
    }

    /// Runs what is done for all of it, in the context of the first message that is recorded.
    pub(super) async fn scope<T>(&self, future: impl Future<Output = T>) -> T {
        match self.recorded.first() {
            None => future.await,
            Some((_, context)) => Box::pin(context.clone().scope(future)).await,
        }
    }
}

/// Batches that wait, to be taken together.
pub(super) struct Inbox {
    waiting: mpsc::Receiver<Batch>,
    /// What did not fit.
    left_over: Option<Batch>,
}

impl Inbox {
    pub(super) fn new(waiting: mpsc::Receiver<Batch>) -> Self {
        Self { waiting, left_over: None }
    }

    /// All that waits, as far as it fits into one batch.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let first = self.left_over.take().or_else(|| self.waiting.try_recv().ok())?;
        Some(self.fill(first))
    }

    /// The same, as soon as something waits; nothing when nothing can come any more.
    pub(super) async fn wait(&mut self) -> Option<Batch> {
        let first = match self.left_over.take() {
            Some(first) => first,
            None => self.waiting.recv().await?,
        };
        Some(self.fill(first))
    }

    fn fill(&mut self, mut batch: Batch) -> Batch {
        while let Ok(next) = self.waiting.try_recv() {
            if batch.jobs.len() + next.jobs.len() > MAX_BATCH {
                self.left_over = Some(next);
                break;
            }
            batch.append(next);
        }
        batch
    }
}
