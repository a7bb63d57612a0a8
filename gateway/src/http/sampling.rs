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
#[derive(Debug)]
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
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_trace_that_a_client_marked_is_recorded_each_second() {
        let sampling = Sampling::new(0.0);
        let allowed = [0, 1, 999, 1_000, 1_500, 2_000, 9_000, 9_001]
            .map(|millis| sampling.allows_client_sampled_at(Duration::from_millis(millis)));
        assert_eq!(allowed, [true, false, false, true, false, true, true, false]);
    }

    #[test]
    fn a_ratio_of_one_records_all_and_zero_records_none() {
        assert!((0..1_000).all(|_| Sampling::new(1.0).is_chosen()));
        assert!(!(0..1_000).any(|_| Sampling::new(0.0).is_chosen()));
    }

    #[test]
    fn without_a_collector_no_trace_is_sampled() {
        let sampled =
            HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), sampled)]);
        let mut passed_on = HeaderMap::new();
        Sampling::new(1.0).for_request(&headers).propagate(&mut passed_on);
        assert_eq!(
            passed_on["traceparent"],
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        );
        assert!(Sampling::new(1.0).for_frame().is_none());
    }
}
