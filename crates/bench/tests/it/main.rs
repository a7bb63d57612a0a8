//! Tests of the loads, their clients and the report.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod baselines;
mod curve;
mod fan_out;
mod frames;
mod http;
mod machine;
mod open_loop;
mod report;
mod row;
mod sends;
mod server;
