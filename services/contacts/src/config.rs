//! The settings of the service.

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, addresses};

/// Each setting is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Where and for whom it serves.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// Where it stores.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// Where the rooms service is: comma-separated `host:port`; a host may stand for many replicas.
    #[arg(long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003", value_parser = addresses)]
    pub rooms_addresses: String,
}
