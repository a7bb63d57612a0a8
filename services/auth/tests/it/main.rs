//! The rules of the auth service, each held by a test, against a real Postgres and through gRPC.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in the helpers of tests, too, what goes wrong is a failure"
)]

mod access;
mod accounts;
mod app;
mod commands;
mod log_in;
mod look_ups;
mod statements;
