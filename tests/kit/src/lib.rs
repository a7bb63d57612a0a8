//! The test kit of the services: empty databases, a Redis, and services that run inside a test.

pub mod issuer;
mod network;
mod servers;
mod service;
mod statements;
mod tls;
mod wait;

pub use network::Network;
pub use parlance_devstack::{TemporaryFolder, free_address};
pub use servers::{
    InFolder, fresh_database, redis_url, start_postgres, start_redis, start_redis_as,
    start_redis_cluster, start_standby,
};
pub use service::{INTERNAL_TOKEN, Service, answer, connect, credential, grpc_server, postgres};
pub use statements::statement_of_call;
pub use tls::{server_certificate, server_certificate_without_client_certificate};
pub use wait::eventually;
