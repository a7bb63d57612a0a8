//! Makes the instruments of this process.

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};

/// The name of the meter.
pub(crate) const METER: &str = "parlance";

/// Makes a counter. [`Counter::add`] with 0 makes it visible before its first event.
pub(crate) fn counter(name: &'static str, description: &'static str) -> Counter<u64> {
    global::meter(METER).u64_counter(name).with_description(description).build()
}

/// Makes a histogram of durations in seconds.
pub(crate) fn seconds(
    name: &'static str,
    description: &'static str,
    bounds: &[f64],
) -> Histogram<f64> {
    let meter = global::meter(METER);
    let histogram = meter.f64_histogram(name).with_unit("s");
    histogram.with_description(description).with_boundaries(bounds.to_vec()).build()
}
