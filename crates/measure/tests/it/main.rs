//! The tests of the measuring tools.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod latencies;
mod number;
mod plot;
