//! The settings of the messaging service.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, RedisConfig, addresses, seconds};

/// All settings. Each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The database.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// Pub/sub between the replicas.
    #[command(flatten)]
    pub redis: RedisConfig,
    /// Addresses of the rooms service, comma-separated `host:port`; a host may resolve to many
    /// replicas.
    #[arg(
        long,
        env = "ROOMS_ADDRESSES",
        default_value = "127.0.0.1:9003",
        value_parser = addresses
    )]
    pub rooms_addresses: String,
    /// Deadline of a call to the rooms service, in seconds.
    ///
    /// Must be below `UPSTREAM_DEADLINE` of the gateway, so that the gateway still gets an answer
    /// when rooms does not answer.
    #[arg(long, env = "ROOMS_DEADLINE", default_value = "1", value_parser = seconds)]
    pub rooms_deadline: Duration,
    /// How often each replica reads the log of commits in Postgres, in seconds.
    ///
    /// Messages from other replicas are delayed by up to this time while Redis is unavailable.
    #[arg(long, env = "LOG_POLL_INTERVAL", default_value = "0.5", value_parser = seconds)]
    pub log_poll_interval: Duration,
}
