//! Tests of the loads, their clients and the report.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod curve;
mod fan_out;
mod frames;
mod http;
mod report;
mod row;
mod server;
