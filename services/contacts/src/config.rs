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
    /// The replicas of the rooms service, as comma-separated `host:port`; a host with several addresses stands for as many.
    #[arg(long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003", value_parser = addresses)]
    pub rooms_addresses: String,
}
