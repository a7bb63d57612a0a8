//! Decides which traces are recorded.
//!
//! A random share of all traces is recorded. A trace that the client has marked as sampled is
//! recorded as well, but at most one a second: recording costs processor time and room at the
//! collector, so clients must not be able to have everything recorded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parlance_runtime::trace::{self, Trace};
use tokio::time::Instant;

/// The time between two traces that are recorded because a client marked them.
const CLIENT_SAMPLED_INTERVAL: Duration = Duration::from_secs(1);

/// The sampler of this gateway.
pub(crate) struct Sampling {
    /// The share of traces that are recorded, from 0 to 1.
    ratio: f64,
    started: Instant,
    /// When a trace that a client marked may be recorded again, in milliseconds since `started`.
    next_client_sampled_ms: AtomicU64,
}

impl Sampling {
    pub(crate) fn new(ratio: f64) -> Self {
        Self { ratio, started: Instant::now(), next_client_sampled_ms: AtomicU64::new(0) }
    }

    /// Continues the trace in the headers of a request, or starts one.
    pub(crate) fn for_request(&self, headers: &HeaderMap) -> Trace {
        let trace = Trace::continued(headers);
        let is_recorded = trace::is_recording()
            && (self.is_chosen() || trace.is_sampled() && self.allows_client_sampled());
        trace.with_sampled(is_recorded)
    }

    /// Starts the trace of a WebSocket frame. Returns `None` if it is not recorded.
    pub(crate) fn for_frame(&self) -> Option<Trace> {
        (trace::is_recording() && self.is_chosen()).then(|| Trace::new().with_sampled(true))
    }

    fn is_chosen(&self) -> bool {
        rand::random::<f64>() < self.ratio
    }

    fn allows_client_sampled(&self) -> bool {
        self.allows_client_sampled_at(self.started.elapsed())
    }

    fn allows_client_sampled_at(&self, now: Duration) -> bool {
        let next = self.next_client_sampled_ms.load(Ordering::Relaxed);
        let after = (now + CLIENT_SAMPLED_INTERVAL).as_millis() as u64;
        now.as_millis() as u64 >= next
            && self
                .next_client_sampled_ms
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
#[path = "tests/sampling.rs"]
mod tests;
