//! The latency of delivery, from commit to arrival at the subscriber.

use std::time::Duration;

use parlance_measure::{Latencies, Percentiles};

use crate::history::View;

/// A delivered event that carries the time of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Delivery {
    /// In microseconds of the wall clock.
    pub(crate) committed_at: i64,
    pub(crate) latency: Duration,
}

/// Returns all deliveries, replays included. Deletions carry no time.
pub(crate) fn deliveries(views: &[View]) -> impl Iterator<Item = Delivery> {
    let events = views.iter().flat_map(View::events);
    events.filter_map(|event| {
        let committed_at = event.committed_at()?;
        // Negative only if the clock was set back.
        let latency = u64::try_from(event.delivered_at - committed_at).unwrap_or(0);
        Some(Delivery { committed_at, latency: Duration::from_micros(latency) })
    })
}

/// Returns the latencies of all deliveries.
pub(crate) fn latencies(views: &[View]) -> Latencies {
    deliveries(views).map(|delivery| delivery.latency).collect()
}

/// Returns the median, the 99th percentile and the maximum for a report.
pub(crate) fn summary(latencies: &Latencies, separator: &str) -> String {
    match latencies.percentiles() {
        Some(Percentiles { p50, p99, max, .. }) => {
            [p50, p99, max].map(|millis| format!("{millis:.0} ms")).join(separator)
        }
        None => ["–"; 3].join(separator),
    }
}
