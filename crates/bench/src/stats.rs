//! The arithmetic of figures: medians, ratios, percentiles.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(120);
/// Percentiles are right to a thousandth of their value.
const DIGITS: u8 = 3;

/// The middle of some values, or the mean of the two in the middle; nothing without any.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// Times that something took, counted by their length.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// What is told of many times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    /// In milliseconds, as all of these.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) slowest: f64,
}

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let longest = u64::try_from(LONGEST.as_micros())?;
        let histogram = Histogram::new_with_bounds(1, longest, DIGITS);
        histogram.map(Self).context("cannot make a histogram")
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0.add(&other.0).context("cannot add up histograms")
    }

    /// Nothing when nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let millis = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Percentiles {
            p50: millis(0.5),
            p99: millis(0.99),
            p999: millis(0.999),
            slowest: self.0.max() as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn percentiles_are_right_to_a_thousandth() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.percentiles(), None);
        for micros in 1..=100_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let found = latencies.percentiles().unwrap();
        let wanted =
            [(found.p50, 50.0), (found.p99, 99.0), (found.p999, 99.9), (found.slowest, 100.0)];
        for (found, wanted) in wanted {
            assert!((found - wanted).abs() <= wanted / 1_000.0, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn what_took_too_long_is_counted_all_the_same() {
        let (mut one, mut other) = (Latencies::new().unwrap(), Latencies::new().unwrap());
        one.record(Duration::from_secs(3_600));
        other.record(Duration::from_millis(1));
        one.add(&other).unwrap();
        assert_eq!(one.0.len(), 2);
        assert!(one.percentiles().unwrap().slowest >= 120_000.0);
    }
}
