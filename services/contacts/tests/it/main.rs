//! Tests of the contacts service through its gRPC interface, on a real Postgres and with a real
//! rooms service.
#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test, as it should")]

mod app;
mod ends_of_invitations;
mod invitations;
mod overview;
mod races;
mod rooms_unavailable;
mod start;
