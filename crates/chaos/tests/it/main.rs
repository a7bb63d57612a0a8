//! The tests of the fault injection, and the self-tests of the checker.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod network;
mod plan;
mod plot;
mod self_tests;
