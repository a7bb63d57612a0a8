//! Tests of the auth service through its gRPC interface, on a real Postgres.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic in a helper fails the test, as it should"
)]

mod access;
mod accounts;
mod app;
mod audit;
mod commands;
mod ended;
mod exchange;
mod guessing;
mod hash_queue;
mod identity_tokens;
mod issuer_keys;
mod issuers;
mod leaked_keys;
mod log_in;
mod look_ups;
mod passwords;
mod profiles;
mod refresh;
mod refresh_races;
mod registration;
mod resets;
mod sessions;
mod statements;
