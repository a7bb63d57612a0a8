//! End-to-end tests: all of Parlance as real processes, used through its public APIs.
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
mod commands;
mod contacts;
mod conventions;
mod counts;
mod encryption;
mod fairness;
mod faults;
mod health;
mod identities;
mod internal_token;
mod limits;
mod log_in_flood;
mod messages;
mod metrics;
mod open_invitations;
mod plans;
mod privileges;
mod probe;
mod profiles;
mod races;
mod rolling;
mod room_changes;
mod rooms;
mod sessions;

mod support;
mod tokens;
mod traces;
mod two_gateways;
mod ws;
mod ws_protocol;
