//! Records how long things took and returns their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer durations are recorded as this one.
const MAX: Duration = Duration::from_secs(120);
/// A percentile is exact to one thousandth of its value.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Recorded durations. The memory that they take does not grow with their number: about 150 KiB.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// Percentiles of recorded durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 99 of 100 durations are at most this long.
    pub p99: f64,
    /// 999 of 1,000 durations are at most this long.
    pub p999: f64,
    /// The longest duration.
    pub max: f64,
}

impl Latencies {
    /// Returns a recorder without any durations.
    #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram accepts")]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, micros(MAX), SIGNIFICANT_DIGITS);
        Self(histogram.expect("1 µs and 120 s are valid bounds"))
    }

    /// Records a duration.
    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(micros(duration));
    }

    /// Adds all durations of another recorder.
    #[expect(clippy::expect_used, reason = "histograms of equal bounds can always be added")]
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all recorders have the same bounds");
    }

    /// Returns the number of recorded durations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the percentiles, or `None` if nothing was recorded.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let millis = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Percentiles {
            p50: millis(0.5),
            p99: millis(0.99),
            p999: millis(0.999),
            max: self.0.max() as f64 / 1e3,
        })
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Duration> for Latencies {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, durations: T) {
        durations.into_iter().for_each(|duration| self.record(duration));
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<T: IntoIterator<Item = Duration>>(durations: T) -> Self {
        let mut latencies = Self::new();
        latencies.extend(durations);
        latencies
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
