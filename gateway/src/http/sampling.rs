//! Which traces are recorded.
//!
//! Some of all, by chance, wherever they began. What a client wants recorded is, too, but no more
//! than one trace a second: nobody outside shall have everything recorded, which costs, nor fill
//! the collector so that others find nothing there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parlance_runtime::trace::{self, Trace};
use tokio::time::Instant;

/// The time from one client's wish that is granted to the next.
const WISH_INTERVAL: Duration = Duration::from_secs(1);

/// Decides for all that comes to this gateway.
#[derive(Debug)]
pub(crate) struct Sampling {
    /// How many of all are recorded.
    ratio: f64,
    started: Instant,
    /// When a wish is granted again, in milliseconds since the start.
    next_wish_ms: AtomicU64,
}

impl Sampling {
    pub(crate) fn new(ratio: f64) -> Self {
        Self { ratio, started: Instant::now(), next_wish_ms: AtomicU64::new(0) }
    }

    /// The trace of a request with these headers, recorded or not.
    pub(crate) fn of_request(&self, headers: &HeaderMap) -> Trace {
        let trace = Trace::continued(headers);
        let is_recorded =
            trace::is_recording() && (self.chooses() || trace.is_sampled() && self.grants());
        trace.with_sampled(is_recorded)
    }

    /// A trace for something without headers, if it is one that is recorded.
    pub(crate) fn for_frame(&self) -> Option<Trace> {
        (trace::is_recording() && self.chooses()).then(|| Trace::new().with_sampled(true))
    }

    fn chooses(&self) -> bool {
        rand::random::<f64>() < self.ratio
    }

    fn grants(&self) -> bool {
        self.grants_at(self.started.elapsed())
    }

    fn grants_at(&self, now: Duration) -> bool {
        let next = self.next_wish_ms.load(Ordering::Relaxed);
        let after = (now + WISH_INTERVAL).as_millis() as u64;
        now.as_millis() as u64 >= next
            && self
                .next_wish_ms
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_wish_is_granted_in_a_second() {
        let sampling = Sampling::new(0.0);
        let granted = [0, 1, 999, 1_000, 1_500, 2_000, 9_000, 9_001]
            .map(|millis| sampling.grants_at(Duration::from_millis(millis)));
        assert_eq!(granted, [true, false, false, true, false, true, true, false]);
    }

    #[test]
    fn all_or_none_are_chosen_at_the_ends() {
        assert!((0..1_000).all(|_| Sampling::new(1.0).chooses()));
        assert!(!(0..1_000).any(|_| Sampling::new(0.0).chooses()));
    }

    #[test]
    fn without_a_collector_nobody_is_told_to_record() {
        let sampled =
            HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), sampled)]);
        let mut passed_on = HeaderMap::new();
        Sampling::new(1.0).of_request(&headers).propagate(&mut passed_on);
        assert_eq!(
            passed_on["traceparent"],
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        );
        assert!(Sampling::new(1.0).for_frame().is_none());
    }
}
