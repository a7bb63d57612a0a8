//! gRPC between the parts: the server every service runs, and the client that balances over the
//! replicas of a service.

mod client;
mod connect;
mod credential;
mod each_replica;
mod incoming;
mod metrics;
mod server;
mod spans;

pub use client::{Client, ClientConfig, Replica};
pub use credential::Credential;
pub use server::serve;

/// The metadata entry with the id of the client's request.
const REQUEST_ID_KEY: &str = "x-request-id";
