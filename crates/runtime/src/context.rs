//! What belongs to one request on its way through a process: its id, its trace and its deadline.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::trace::{Span, SpanBuilder, Trace};

/// Set for the time in which a request is handled. Log lines that are written meanwhile carry its
/// id and its trace; calls to other services that are made meanwhile take up all of it. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The id that the client gave or the gateway made.
    pub request_id: Arc<str>,
    /// The trace it belongs to.
    pub trace: Trace,
    /// When the caller stops waiting, if it said so.
    pub deadline: Option<Instant>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
    /// A request without a deadline that begins a trace of its own.
    pub fn new(request_id: impl Into<Arc<str>>) -> Self {
        Self { request_id: request_id.into(), trace: Trace::new(), deadline: None }
    }

    /// A request without a deadline that came with these headers.
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

    /// The context of the request that the running task handles, if it handles one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The same, if its trace is recorded.
    pub fn recorded() -> Option<Self> {
        CURRENT
            .try_with(|context| context.trace.is_recorded().then(|| context.clone()))
            .ok()
            .flatten()
    }

    /// Begins a step of the request that the running task handles, if its trace is recorded.
    pub fn start_span(step: impl FnOnce() -> SpanBuilder) -> Span {
        CURRENT.try_with(|context| context.trace.start_span(step)).unwrap_or_default()
    }

    /// How long a call made now may take: its own limit, and at most half of what remains to the
    /// caller, so that a failed call leaves time to answer.
    pub fn limit_nested_call(limit: Duration) -> Duration {
        let deadline = CURRENT.try_with(|context| context.deadline).ok().flatten();
        let remaining = deadline.map(|deadline| deadline - Instant::now());
        remaining.map_or(limit, |remaining| limit.min(remaining / 2))
    }
}
