//! How long delivery took.

use std::fmt;
use std::time::Duration;

use crate::history::{Entry, Event, View};

/// Times of delivery, from the shortest to the longest, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<i64>);

/// An event that says when it was committed: that time, and the time that it took to its
/// subscriber.
pub(crate) type Delivery = (i64, i64);

/// All deliveries to these subscribers, catching up included.
pub(crate) fn deliveries(views: &[View]) -> impl Iterator<Item = Delivery> {
    let events = views.iter().flat_map(|view| &view.entries).filter_map(|entry| match entry {
        Entry::Event(event) => Some(event),
        Entry::Resync { .. } => None,
    });
    // A deletion does not say it.
    events.filter_map(|event: &Event| event.committed_at().map(|at| (at, event.delivered_at - at)))
}

impl FromIterator<i64> for Latencies {
    fn from_iter<T: IntoIterator<Item = i64>>(times: T) -> Self {
        let mut times: Vec<i64> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Latencies {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which so many of a hundred deliveries were done.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        // Within a machine's clock no event arrives before it was committed, save for a step of
        // that clock.
        Some(Duration::from_micros(u64::try_from(self.0[last * percent / 100]).unwrap_or(0)))
    }

    pub(crate) fn slowest(&self) -> Option<Duration> {
        self.percentile(100)
    }
}

/// Median, 99 % and slowest, as cells of a Markdown table.
impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |percent| match self.percentile(percent) {
            Some(time) => format!("{:.0} ms", time.as_secs_f64() * 1_000.0),
            None => "–".to_owned(),
        };
        write!(f, "{} | {} | {}", show(50), show(99), show(100))
    }
}
