//! Tests of the messaging service through its gRPC interface, on a real Postgres and a real Redis,
//! beside a real rooms service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod busy_rooms;
mod canary;
mod catching_up;
mod changing;
mod delivery;
mod history;
mod idempotency;
mod link;
mod membership_ends;
mod presence;
mod rooms_away;
mod sending;
mod start;
mod streams;
mod tail;
mod way;
