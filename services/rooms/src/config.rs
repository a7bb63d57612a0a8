//! The settings of the service.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, seconds};

/// The settings of `rooms serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The database with the schema `rooms`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// How long ended memberships stay in the log, in seconds. A watcher that was away for longer
    /// checks all memberships again.
    #[arg(long, env = "MEMBERSHIP_LOG_RETENTION", default_value = "600", value_parser = seconds)]
    pub membership_log_retention: Duration,
}
