//! What the gateway does by itself, with no service behind it: the order of refusals, bodies, CORS,
//! ids, documents.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of the test functions may fail a test, too"
)]

mod app;
mod bodies;
mod connections;
mod cors;
mod documents;
mod limits;
mod outage;
mod refusals;
