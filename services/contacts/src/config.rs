//! The settings of the service.

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, addresses};

/// The settings of `contacts serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The database with the schema `contacts`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// The addresses of the rooms service, comma-separated, each as `host:port`. A host may resolve
    /// to many replicas.
    #[arg(long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003")]
    #[arg(value_parser = addresses)]
    pub rooms_addresses: String,
}
