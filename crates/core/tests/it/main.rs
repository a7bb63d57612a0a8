//! The rules that every program shares.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod error_code;
mod profile;
mod text;
mod timestamp;
mod username;
