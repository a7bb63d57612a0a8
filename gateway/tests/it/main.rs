//! The gateway without services: the order of errors, bodies, CORS, connections, documents,
//! settings, WebSockets before they are authenticated.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper outside the test functions may fail a test"
)]

mod app;
mod bodies;
mod connections;
mod cors;
mod documents;
mod dto;
mod errors;
mod http_protocol;
mod limits;
mod loadbalancer;
mod outage;
mod settings;
mod websocket;
