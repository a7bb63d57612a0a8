//! What belongs to one request on its way through a process: its id and its deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Set for the time in which a request is handled; calls to other services that are made meanwhile take it up.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The id that the client gave or the gateway made.
    pub request_id: Arc<str>,
    /// When the caller stops waiting, if it said so.
    pub deadline: Option<Instant>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
    /// Runs a future in this context.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The context of the request that the running task handles, if it handles one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// How long a call made now may take: its own limit, and at most half of what remains to the caller, so that a failed call
    /// leaves time to answer.
    pub fn limit_nested_call(limit: Duration) -> Duration {
        let remaining =
            Self::current().and_then(|context| context.deadline).map(|deadline| deadline - Instant::now());
        remaining.map_or(limit, |remaining| limit.min(remaining / 2))
    }
}
