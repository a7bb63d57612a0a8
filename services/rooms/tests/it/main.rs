//! Tests of the rooms service through its gRPC interface, on a real Postgres.
#![expect(
    clippy::unwrap_used,
    reason = "in the helpers of tests, too, what goes wrong is a failure"
)]

mod app;
mod check_memberships;
mod members;
mod refusals;
mod rooms;
mod start;
mod statements;
mod system_rooms;
mod watch_memberships;
