//! Groups of settings that several processes share. Each setting is a flag and an environment
//! variable; clap checks them at start and names the one that is wrong. A process flattens the
//! groups it needs into its own configuration.
//!
//! A secret may also be given as the file that holds it, as `file:/run/secrets/database-url`: where
//! it must not be seen in the environment of the process.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// How log lines look.
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
    /// How log lines look.
    ///
    /// `json` where a collector reads them: one object a line.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which log lines are written, as directives of tracing-subscriber's EnvFilter.
    ///
    /// `info,parlance_gateway::observe=debug` adds a line for every request. More than `info` costs
    /// time for each message: it is for looking for a mistake.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
}

/// What every process has: logs, an admin port, a time to drain, a collector of traces.
#[derive(Args, Clone, Debug)]
pub struct ProcessConfig {
    /// The log.
    #[command(flatten)]
    pub log: LogConfig,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Not for the public.
    ///
    /// In a container `0.0.0.0:9090`, so that probes and Prometheus reach it.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    /// How long work that has begun may take to end after SIGTERM, in seconds.
    ///
    /// A gateway spreads the closing of its sockets over most of it: give one with very many
    /// sockets more. Whoever ends the process has to wait for longer than that before killing it.
    #[arg(long, env = "DRAIN_TIME", default_value = "20", value_parser = seconds)]
    pub drain_time: Duration,
    /// Threads that run the program's tasks. Without it there are as many as the process has cores;
    /// a CPU quota of its container counts.
    #[arg(long, env = "WORKER_THREADS")]
    pub worker_threads: Option<NonZeroUsize>,
    /// The collector of traces, which speaks OTLP over gRPC, as `http://host:port`; empty for none.
    ///
    /// The same for all programs. Without it nothing is recorded, and nothing spent on it.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "", value_parser = collector)]
    pub otel_exporter_otlp_endpoint: String,
}

/// Whom `health` asks: the process with the same setting.
#[derive(Args, Clone, Debug)]
pub struct HealthConfig {
    /// Where the process serves `/readyz`.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
}

/// How the parts of Parlance know each other.
#[derive(Args, Clone, Debug)]
pub struct CredentialConfig {
    /// The secret that every gRPC call between the parts carries; the same for all of them, at
    /// least 16 characters. Or `file:` and the path of a file with it.
    ///
    /// Of several, comma-separated, the first is shown and each is accepted, so that a secret can
    /// be replaced while everything runs.
    #[arg(long, env = "INTERNAL_TOKEN", hide_env_values = true, value_parser = internal_token)]
    pub internal_token: SecretString,
    /// Beside the secret, certificates.
    #[command(flatten)]
    pub tls: GrpcTlsConfig,
}

/// The files for TLS between the parts, in PEM: all three, or none for connections in the clear.
/// They are read again when they change.
#[derive(Args, Clone, Debug, Default)]
pub struct GrpcTlsConfig {
    /// The certificate that this process shows, as a server and as a client, and those between it
    /// and an authority; PEM.
    #[arg(long, env = "GRPC_TLS_CERT", requires_all = ["grpc_tls_key", "grpc_tls_ca"])]
    pub grpc_tls_cert: Option<PathBuf>,
    /// The key of that certificate; PEM.
    #[arg(long, env = "GRPC_TLS_KEY", requires_all = ["grpc_tls_cert", "grpc_tls_ca"])]
    pub grpc_tls_key: Option<PathBuf>,
    /// The authorities, one of which must vouch for each certificate that another part shows; PEM.
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
    pub grpc_listen: SocketAddr,
    /// What callers must show.
    #[command(flatten)]
    pub credential: CredentialConfig,
}

/// A Postgres database.
#[derive(Args, Clone, Debug)]
pub struct PostgresConfig {
    /// The database, as `postgres://role:password@host:port/database`, or `file:` and the path of a
    /// file with that.
    ///
    /// The role is the service's own: it owns the schema of that name and sees no other. No pooler
    /// in transaction mode may be in between: migrations hold a lock of their session.
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
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_max_connections: u32,
}

/// A Redis server.
#[derive(Args, Clone, Debug)]
pub struct RedisConfig {
    /// The server, as `redis://user:password@host:port`, or `rediss://…` over TLS; or `file:` and
    /// the path of a file with that.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = secret_url)]
    pub redis_url: SecretString,
    /// The authorities that may vouch for the server of a `rediss://` URL, in PEM; without it those
    /// that the system knows.
    #[arg(long, env = "REDIS_CA")]
    pub redis_ca: Option<PathBuf>,
}

/// Parses a number of seconds, as used for durations in settings: above 0 and at most 100 years.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= CENTURY => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds above 0 is wanted, such as 20 or 0.5".to_owned()),
    }
}

/// Checks the addresses of a service: comma-separated `host:port`.
pub fn addresses(text: &str) -> Result<String, String> {
    let is_address = |address: &str| {
        let parts = address.trim().rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if text.split(',').all(is_address) {
        Ok(text.to_owned())
    } else {
        Err("comma-separated addresses are wanted, each as host:port".to_owned())
    }
}

/// Parses a part of all, from 0 for none to 1 for all.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a number from 0 to 1 is wanted, such as 0.01".to_owned()),
    }
}

fn collector(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    if text.is_empty()
        || address.is_some_and(|address| !address.contains(',') && addresses(address).is_ok())
    {
        Ok(text.to_owned())
    } else {
        Err("a URL with a port is wanted, such as http://collector:4317".to_owned())
    }
}

fn internal_token(text: &str) -> Result<SecretString, String> {
    let text = secret(text)?;
    let is_secret =
        |token: &str| token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.split(',').all(is_secret) {
        return Err(
            "at least 16 visible ASCII characters are wanted, in each of several".to_owned()
        );
    }
    Ok(text.into())
}

/// The secrets in a value of `INTERNAL_TOKEN`, of which the first is the one to show.
pub(crate) fn internal_tokens(value: &SecretString) -> impl Iterator<Item = &str> {
    value.expose_secret().split(',')
}

fn secret_url(text: &str) -> Result<SecretString, String> {
    let text = secret(text)?;
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(text.into()),
        _ => Err("a URL is wanted, such as postgres://host/database or redis://host".to_owned()),
    }
}

/// What was given or, after `file:`, what that file holds, without white space around it.
fn secret(text: &str) -> Result<String, String> {
    match text.strip_prefix("file:") {
        Some(path) => match fs::read_to_string(path) {
            Ok(content) => Ok(content.trim().to_owned()),
            Err(error) => Err(format!("the file cannot be read: {error}")),
        },
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use clap::Parser;
    use secrecy::ExposeSecret;

    use super::{
        CredentialConfig, addresses, collector, internal_token, internal_tokens, ratio, secret_url,
    };

    #[test]
    fn a_secret_may_be_in_a_file() {
        let file = env::temp_dir().join(format!("parlance-secret-{}", process::id()));
        let given = format!("file:{}", file.display());
        assert!(secret_url(&given).unwrap_err().contains("cannot be read"));
        fs::write(&file, "redis://messaging:secret@redis\n").unwrap();
        assert_eq!(secret_url(&given).unwrap().expose_secret(), "redis://messaging:secret@redis");
        fs::write(&file, "too-short\n").unwrap();
        assert!(internal_token(&given).is_err());
        fs::remove_file(&file).unwrap();
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        credential: CredentialConfig,
    }

    #[test]
    fn files_for_tls_are_named_all_or_none() {
        let parse = |more: &[&str]| {
            Cli::try_parse_from(["part", "--internal-token", "0123456789abcdef"].iter().chain(more))
        };
        assert!(parse(&[]).unwrap().credential.tls.grpc_tls_cert.is_none());
        let all = ["--grpc-tls-cert", "cert", "--grpc-tls-key", "key", "--grpc-tls-ca", "ca"];
        assert!(parse(&all).unwrap().credential.tls.grpc_tls_ca.is_some());
        for some in [&all[..2], &all[..4], &all[2..], &all[4..]] {
            assert!(parse(some).is_err(), "{some:?}");
        }
    }

    #[test]
    fn each_of_several_internal_tokens_is_long_enough() {
        let both = internal_token("0123456789abcdef,fedcba9876543210").unwrap();
        assert!(internal_tokens(&both).eq(["0123456789abcdef", "fedcba9876543210"]));
        for bad in
            ["", "0123456789abcde", "0123456789abcdef,", "0123456789abcdef,x", "0123456789 bcdef"]
        {
            assert!(internal_token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_hosts_with_ports() {
        assert!(addresses("auth:9000, 127.0.0.1:9001,[::1]:9002").is_ok());
        for bad in ["", "auth", ":9000", "auth:port", "auth:99999", "auth:9000,"] {
            assert!(addresses(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_collector_is_a_url_with_a_port_or_none() {
        for good in ["", "http://collector:4317", "http://[::1]:4317/"] {
            assert!(collector(good).is_ok(), "{good:?}");
        }
        for bad in [
            "collector:4317",
            "http://collector",
            "https://collector:4317",
            "http://a:1,b:2",
            "http://a:1/v1",
        ] {
            assert!(collector(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_ratio_is_a_part_of_all() {
        assert_eq!([ratio("0"), ratio("0.25"), ratio("1")], [Ok(0.0), Ok(0.25), Ok(1.0)]);
        for bad in ["", "-0.1", "1.5", "NaN", "all"] {
            assert!(ratio(bad).is_err(), "{bad:?}");
        }
    }
}
