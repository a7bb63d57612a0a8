//! Tests of the contacts service through its gRPC interface, on a real Postgres and with a real
//! rooms service.
#![expect(
    clippy::unwrap_used,
    reason = "in the helpers of tests, too, what goes wrong is a failure"
)]

mod app;
mod invitations;
mod overview;
mod races;
mod rooms_away;
mod start;
