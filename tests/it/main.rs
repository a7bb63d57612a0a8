//! End-to-end tests: all of Parlance as real processes, spoken to through its public APIs only.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod arbitrary;
mod auth;
mod backup;
mod bodies;
mod canary;
mod commands;
mod contacts;
mod conventions;
mod counts;
mod encryption;
mod faults;
mod health;
mod limits;
mod messages;
mod metrics;
mod plans;
mod privileges;
mod races;
mod rolling;
mod rooms;
mod strangers;
mod support;
mod tokens;
mod traces;
mod ws;
