//! gRPC between the parts: the server every service runs, and the client that balances over the replicas of a service.

mod client;
mod metrics;
mod server;
mod spans;

pub use client::{Client, ClientConfig, Replica};
pub use server::serve;

/// The scheme in front of the internal credential in the `authorization` entry of every call.
const CREDENTIAL_SCHEME: &str = "Bearer ";
/// The metadata entry with the id of the client's request.
const REQUEST_ID_KEY: &str = "x-request-id";
