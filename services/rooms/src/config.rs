//! The settings of the service.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, seconds};

/// Each setting is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Where and for whom it serves.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// Where it stores.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// How long ended memberships stay in the log, in seconds. A watcher that was away for longer
    /// checks all memberships anew.
    #[arg(long, env = "MEMBERSHIP_LOG_RETENTION", default_value = "600", value_parser = seconds)]
    pub membership_log_retention: Duration,
}
