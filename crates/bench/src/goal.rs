//! The goals of a scenario.

use std::fmt;

use parlance_measure::{Percentiles, three_digits};
use serde::Serialize;

/// A goal of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Goal {
    /// The least figure.
    AtLeast(f64),
    /// The greatest figure.
    AtMost(f64),
    /// The least ratio to the baseline.
    RatioAtLeast(f64),
    /// The greatest ratio to the baseline.
    RatioAtMost(f64),
    /// A bound of the 99th percentile, in milliseconds.
    P99Under(f64),
    /// A bound of the 99.9th percentile, in milliseconds.
    P999Under(f64),
}

impl Goal {
    /// Returns true if the measures of a row meet the goal. A missing measure misses it.
    pub(crate) fn is_met(
        self,
        figure: Option<f64>,
        ratio: Option<f64>,
        latencies: Option<Percentiles>,
    ) -> bool {
        match self {
            Self::AtLeast(min) => figure.is_some_and(|figure| figure >= min),
            Self::AtMost(max) => figure.is_some_and(|figure| figure <= max),
            Self::RatioAtLeast(min) => ratio.is_some_and(|ratio| ratio >= min),
            Self::RatioAtMost(max) => ratio.is_some_and(|ratio| ratio <= max),
            Self::P99Under(bound) => latencies.is_some_and(|latencies| latencies.p99 < bound),
            Self::P999Under(bound) => latencies.is_some_and(|latencies| latencies.p999 < bound),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(min) => write!(f, "≥ {}", three_digits(*min)),
            Self::AtMost(max) => write!(f, "≤ {}", three_digits(*max)),
            Self::RatioAtLeast(min) => write!(f, "≥ {min} ×"),
            Self::RatioAtMost(max) => write!(f, "≤ {max} ×"),
            Self::P99Under(bound) => write!(f, "p99 < {bound} ms"),
            Self::P999Under(bound) => write!(f, "p99.9 < {bound} ms"),
        }
    }
}
