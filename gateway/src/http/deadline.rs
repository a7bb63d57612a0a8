//! The deadlines of the calls to services that a request leads to.

use std::time::Duration;

use parlance_runtime::context::RequestContext;
use tokio::time::Instant;

/// Sets the deadline of a request. A call may take `call_deadline`, all calls together twice as
/// long, so that time to answer remains.
pub(crate) fn set_deadline(context: RequestContext, call_deadline: Duration) -> RequestContext {
    RequestContext { deadline: Some(Instant::now() + 2 * call_deadline), ..context }
}

/// Runs a future with a deadline of its own instead of the one of its request.
pub(crate) async fn with_call_deadline<F: Future>(call_deadline: Duration, future: F) -> F::Output {
    match RequestContext::current() {
        Some(context) => set_deadline(context, call_deadline).scope(future).await,
        None => future.await,
    }
}
