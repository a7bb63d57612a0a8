//! What other crates' tests rely on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod postgres;
