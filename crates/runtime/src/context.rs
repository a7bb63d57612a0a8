//! The context of a request within a process: its id, its trace and its deadline.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::trace::{Span, SpanBuilder, Trace};

/// The header and metadata entry with the id of a request.
pub(crate) const REQUEST_ID_KEY: &str = "x-request-id";

/// Set while a request is handled. Log lines carry its id and its trace, and calls to other
/// services pass on all three. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The id that the client gave or the gateway made.
    pub request_id: Arc<str>,
    /// The trace of the request.
    pub trace: Trace,
    /// When the caller stops waiting, if it has a deadline.
    pub deadline: Option<Instant>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
    /// A request without a deadline, in a trace of its own.
    pub fn new(request_id: impl Into<Arc<str>>) -> Self {
        Self { request_id: request_id.into(), trace: Trace::new(), deadline: None }
    }

    /// A request without a deadline, in the trace that its headers name.
    pub fn with_headers(request_id: impl Into<Arc<str>>, headers: &HeaderMap) -> Self {
        Self { request_id: request_id.into(), trace: Trace::continued(headers), deadline: None }
    }

    /// Runs a future in this context.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs a function in this context.
    pub fn in_scope<T>(self, function: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, function)
    }

    /// Returns the context of the request that the running task handles, if it handles one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Returns the same, if its trace is recorded.
    pub fn recorded() -> Option<Self> {
        let recorded = |context: &Self| context.trace.is_recorded().then(|| context.clone());
        CURRENT.try_with(recorded).ok().flatten()
    }

    /// Begins a span of the request that the running task handles, if its trace is recorded.
    pub fn start_span(describe: impl FnOnce() -> SpanBuilder) -> Span {
        CURRENT.try_with(|context| context.trace.start_span(describe)).unwrap_or_default()
    }

    /// Returns the timeout of a call made now: its own, and at most half of the time that the
    /// caller still waits, so that a failed call leaves time to respond.
    pub fn limit_nested_call(timeout: Duration) -> Duration {
        let deadline = CURRENT.try_with(|context| context.deadline).ok().flatten();
        let remaining = deadline.map(|deadline| deadline - Instant::now());
        remaining.map_or(timeout, |remaining| timeout.min(remaining / 2))
    }
}
