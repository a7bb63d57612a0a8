//! Tests of the rooms service through its gRPC interface, on a real Postgres.
#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test, as it should")]

mod app;
mod changes;
mod check_memberships;
mod large_rooms;
mod members;
mod refusals;
mod rooms;
mod start;
mod statements;
mod system_rooms;
mod watch_memberships;
