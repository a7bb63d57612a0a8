//! The settings of the service.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, addresses, number, seconds};

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
    /// How long an invitation may stay unanswered, in seconds. Then it ends. The default is 90
    /// days.
    #[arg(long, env = "INVITATION_TTL", default_value = "7776000", value_parser = seconds)]
    pub invitation_ttl: Duration,
    /// The most open invitations that a user may have made.
    #[arg(long, env = "MAX_OPEN_INVITATIONS", default_value = "1000")]
    #[arg(value_parser = number(1..=u32::MAX))]
    pub max_open_invitations: u32,
}
