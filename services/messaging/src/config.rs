//! The settings of the messaging service.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, RedisConfig, addresses, seconds};

/// Everything that can be set, each as a flag and as an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The store.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// The way to the other replicas.
    #[command(flatten)]
    pub redis: RedisConfig,
    /// Where the rooms service is: comma-separated `host:port`; a host may stand for many replicas.
    #[arg(long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003", value_parser = addresses)]
    pub rooms_addresses: String,
    /// How long a question to the rooms service may take, in seconds.
    ///
    /// Below `UPSTREAM_DEADLINE` of the gateway, so that whoever asked still hears of it.
    #[arg(long, env = "ROOMS_DEADLINE", default_value = "1", value_parser = seconds)]
    pub rooms_deadline: Duration,
    /// How often the store is read for what Redis did not tell, in seconds.
    ///
    /// Messages between replicas are late by this while Redis is away. Every replica asks Postgres
    /// so often.
    #[arg(long, env = "TAIL_INTERVAL", default_value = "0.5", value_parser = seconds)]
    pub tail_interval: Duration,
}
