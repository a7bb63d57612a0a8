//! The gateway without services, or with a double of auth: the order of errors, bodies, CORS,
//! connections, documents, settings, sessions, WebSockets before they are authenticated.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper outside the test functions may fail a test"
)]

mod app;
mod auth_double;
mod bodies;
mod connections;
mod cors;
mod documents;
mod dto;
mod errors;
mod http_protocol;
mod identities;
mod limits;
mod loadbalancer;
mod outage;
mod security;
mod sessions;
mod settings;
mod websocket;
