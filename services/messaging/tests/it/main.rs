//! Tests of the messaging service through its gRPC interface, with a real Postgres, a real Redis
//! and a real rooms service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod catching_up;
mod changing;
mod delivery;
mod failover;
mod gateway;
mod history;
mod idempotency;
mod locked_rooms;
mod log_poller;
mod membership_ends;
mod proxy;
mod publishing;
mod redis_away;
mod redis_groups;
mod rooms_unavailable;
mod sending;
mod start;
mod streams;
