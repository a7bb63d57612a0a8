//! What every service gets from here, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod credential;
mod support;
mod tls;
mod trace;
