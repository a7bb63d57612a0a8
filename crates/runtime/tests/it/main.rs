//! The tests of what this crate gives to every program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batcher;
mod credential;
mod error;
mod log;
mod migrate;
mod pooler;
mod postgres;
mod replicas;
mod settings;
mod support;
mod tls;
mod trace;
