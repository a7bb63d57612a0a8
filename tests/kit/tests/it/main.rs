//! The servers of the test kit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod servers;
