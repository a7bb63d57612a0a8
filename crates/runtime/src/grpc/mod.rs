//! gRPC between the programs: the server that every service runs, and the client that balances its
//! calls over the replicas of a service.

mod attempts;
mod call_telemetry;
mod client;
mod connect;
mod credential;
mod for_each_replica;
mod replica_channel;
mod replica_health;
mod resolver;
mod server;
mod tls_incoming;

pub use client::{Client, ClientConfig};
pub use credential::Credential;
pub use replica_channel::Replica;
pub use server::serve;
