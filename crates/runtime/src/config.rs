//! Groups of settings that several programs share. Each setting is a flag and an environment
//! variable. clap checks it at start and names the one that is wrong. A program flattens the groups
//! that it needs into its own configuration.
//!
//! In the place of a secret may stand the path of a file with it, as
//! `file:/run/secrets/database-url`, so that the secret is not in the environment of the process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

pub use crate::values::{addresses, number, ratio, seconds, socket_address};
use crate::values::{collector, internal_token, secret_url};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person at a terminal.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// The log of a process.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// The format of log lines.
    ///
    /// `json` where a log collector reads them: one object a line.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, and levels of single modules, as `info,fred=warn`.
    ///
    /// `info,parlance_gateway::http::observation=debug` adds a line for every request. More than
    /// `info` costs time for each message: use it to look for a bug.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
}

/// What every process has: a log, an admin port, a time to drain, a collector of traces.
#[derive(Args, Clone, Debug)]
pub struct ProcessConfig {
    /// The log.
    #[command(flatten)]
    pub log: LogConfig,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Not for the public.
    ///
    /// In a container `0.0.0.0:9090`, so that probes and Prometheus reach it.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9090")]
    #[arg(value_parser = socket_address)]
    pub admin_listen: SocketAddr,
    /// How long requests and connections may take to end after SIGTERM, in seconds.
    ///
    /// A gateway spreads the closing of its sockets over most of it: give a gateway with very many
    /// sockets more. A supervisor has to wait longer than this before it kills the process.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "20", value_parser = seconds)]
    pub drain_timeout: Duration,
    /// Threads that run the program's tasks. Without it there are as many as the process has cores;
    /// a CPU quota of its container counts.
    #[arg(long, env = "WORKER_THREADS", value_parser = number(1..=u32::MAX))]
    pub worker_threads: Option<u32>,
    /// The collector of traces, which speaks OTLP over gRPC, as `http://host:port`; empty for none.
    ///
    /// The same for all programs. Without it no trace is recorded, and tracing costs nothing.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "", value_parser = collector)]
    pub otel_exporter_otlp_endpoint: String,
}

/// The process that `health` checks: the one with the same setting.
#[derive(Args, Clone, Debug)]
pub struct HealthConfig {
    /// Where the process serves `/readyz`.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9090")]
    #[arg(value_parser = socket_address)]
    pub admin_listen: SocketAddr,
}

/// How the programs authenticate each other.
#[derive(Args, Clone, Debug)]
pub struct CredentialConfig {
    /// The secret that every gRPC call between the programs carries; the same for all of them, at
    /// least 16 characters. Or `file:` and the path of a file with it.
    ///
    /// Of several, comma-separated, the first is sent and each is accepted, so that a secret can be
    /// replaced while everything runs.
    #[arg(long, env = "INTERNAL_TOKEN", hide_env_values = true, value_parser = internal_token)]
    pub internal_token: SecretString,
    /// Certificates, which are checked in addition to the secret.
    #[command(flatten)]
    pub tls: GrpcTlsConfig,
}

/// The files for TLS between the programs, in PEM: all three, or none for connections in the clear.
/// They are read again when they change.
#[derive(Args, Clone, Debug, Default)]
pub struct GrpcTlsConfig {
    /// The certificate of this process, as a server and as a client, and the certificates between
    /// it and an authority; PEM.
    #[arg(long, env = "GRPC_TLS_CERT", requires_all = ["grpc_tls_key", "grpc_tls_ca"])]
    pub grpc_tls_cert: Option<PathBuf>,
    /// The key of that certificate; PEM.
    #[arg(long, env = "GRPC_TLS_KEY", requires_all = ["grpc_tls_cert", "grpc_tls_ca"])]
    pub grpc_tls_key: Option<PathBuf>,
    /// The authorities, one of which must have issued the certificate of every other program; PEM.
    #[arg(long, env = "GRPC_TLS_CA", requires_all = ["grpc_tls_cert", "grpc_tls_key"])]
    pub grpc_tls_ca: Option<PathBuf>,
}

/// A gRPC server.
#[derive(Args, Clone, Debug)]
pub struct GrpcServerConfig {
    /// Where gRPC is served. Not for the public.
    ///
    /// In a container `0.0.0.0:9000`.
    #[arg(long, env = "GRPC_LISTEN", default_value = "127.0.0.1:9000")]
    #[arg(value_parser = socket_address)]
    pub grpc_listen: SocketAddr,
    /// What every caller must present.
    #[command(flatten)]
    pub credential: CredentialConfig,
}

/// A Postgres database.
#[derive(Args, Clone, Debug)]
pub struct PostgresConfig {
    /// The database, as `postgres://role:password@host:port/database`, or `file:` and the path of a
    /// file with that.
    ///
    /// The role is the service's own: it owns the schema of that name and sees no other. A pooler
    /// in between has to be in session mode; one in transaction mode is refused at start.
    ///
    /// With `?sslmode=verify-full&sslrootcert=FILE` it is reached over TLS only, and its
    /// certificate is verified.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret_url)]
    pub database_url: SecretString,
    /// The most connections held open to it.
    ///
    /// Raise it when all have been in use for long (`db.client.connection.count`) and Postgres has
    /// processor time to spare. Those of all replicas, and of one more each during a rollout, have
    /// to be fewer than its `max_connections`.
    ///
    /// rooms and messaging keep half of them for membership checks and commits, and need at least
    /// 2.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value = "10")]
    #[arg(value_parser = number(1..=1000))]
    pub database_max_connections: u32,
    /// Whether a standby that is promoted has every commit, as `true` or `false`.
    ///
    /// `true` only if commits wait for the standby that takes over (`synchronous_standby_names`).
    /// If not, a failover may lose commits, and each service raises its ids and numbers before it
    /// goes on, so that none is given out twice.
    #[arg(long, env = "STANDBY_IS_SYNCHRONOUS", default_value = "false")]
    #[arg(action = clap::ArgAction::Set)]
    pub standby_is_synchronous: bool,
}

impl PostgresConfig {
    /// Divides the connections between two pools, so that short work which many requests wait for,
    /// such as a membership check or a commit, does not wait behind long reads. Returns the
    /// settings of the pool for that work, and of the one for everything else; each has half of the
    /// connections, and one at least.
    pub fn divide(&self) -> [Self; 2] {
        let vital = self.database_max_connections / 2;
        [vital, self.database_max_connections - vital].map(|connections| Self {
            database_max_connections: connections.max(1),
            ..self.clone()
        })
    }
}

/// A Redis server.
#[derive(Args, Clone, Debug)]
pub struct RedisConfig {
    /// The server, as `redis://user:password@host:port`, or `rediss://…` over TLS; or `file:` and
    /// the path of a file with that.
    ///
    /// For a Redis Cluster `redis-cluster://…?node=host2:port2`, with any of its nodes; for Redis
    /// Sentinel `redis-sentinel://…?node=host2:port2&sentinelServiceName=name`, with the addresses
    /// of the sentinels. Over TLS they begin with `rediss-`. `valkey` may stand for `redis`.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = secret_url)]
    pub redis_url: SecretString,
    /// The authorities that may have issued the certificate of the server of a `rediss://` URL, in
    /// PEM; without it those that the system trusts.
    #[arg(long, env = "REDIS_CA")]
    pub redis_ca: Option<PathBuf>,
}
