//! The settings of the gateway.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use parlance_runtime::config::{CredentialConfig, addresses, ratio, seconds, socket_address};
use url::Url;

use crate::limits::{LimitsConfig, TcpConfig};

/// The settings. Each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What the services demand.
    #[command(flatten)]
    pub credential: CredentialConfig,
    /// The address on which the public API is served.
    ///
    /// In a container `0.0.0.0:8000`.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8000", value_parser = socket_address)]
    pub listen: SocketAddr,
    /// The origins whose web pages may use the API: comma-separated `scheme://host[:port]`, or
    /// empty for none.
    ///
    /// The default serves a page in development. Set the origins of your pages.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", default_value = "http://localhost:3000")]
    pub cors_allowed_origins: AllowedOrigins,
    /// Whether the gateway serves the page `/docs` and the OpenAPI document: `on` or `off`.
    ///
    /// Switched off, both are answered 404.
    #[arg(long, env = "DOCS", default_value = "on")]
    pub docs: Docs,
    /// The addresses of the auth service: comma-separated `host:port`. A host may resolve to many
    /// replicas.
    #[arg(long, env = "AUTH_ADDRESSES", default_value = "127.0.0.1:9001", value_parser = addresses)]
    pub auth_addresses: String,
    /// The addresses of the contacts service, in the same form.
    #[arg(
        long, env = "CONTACTS_ADDRESSES", default_value = "127.0.0.1:9002", value_parser = addresses
    )]
    pub contacts_addresses: String,
    /// The addresses of the rooms service, in the same form.
    #[arg(
        long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003", value_parser = addresses
    )]
    pub rooms_addresses: String,
    /// The addresses of the messaging service, in the same form.
    #[arg(
        long, env = "MESSAGING_ADDRESSES",
        default_value = "127.0.0.1:9004", value_parser = addresses
    )]
    pub messaging_addresses: String,
    /// The time that an idle connection lives, in seconds. Answers announce it in `Keep-Alive`.
    ///
    /// A proxy in front of the gateway reuses connections: set it above the time for which the
    /// proxy keeps them, otherwise requests meet closed connections.
    #[arg(long, env = "KEEP_ALIVE_TIMEOUT", default_value = "75", value_parser = seconds)]
    pub keep_alive_timeout: Duration,
    /// The deadline of a call to a service, in seconds.
    ///
    /// A service ends its SQL statements after 1.5 s. Below 2 s, a slow store looks like an
    /// unreachable service.
    #[arg(long, env = "UPSTREAM_DEADLINE", default_value = "2", value_parser = seconds)]
    pub upstream_deadline: Duration,
    /// The deadline of a registration or a log-in, in seconds. Both wait until auth has hashed a
    /// password, which is slow.
    ///
    /// Raise it together with `HASH_QUEUE` of auth: it must suffice for the last one in the queue.
    #[arg(long, env = "PASSWORD_DEADLINE", default_value = "15", value_parser = seconds)]
    pub password_deadline: Duration,
    /// The interval of the synthetic probe, which sends a message to check that messages flow, in
    /// seconds.
    ///
    /// Above 25 s, raise the limit of the alert MessagesDoNotFlow.
    #[arg(long, env = "PROBE_INTERVAL", default_value = "10", value_parser = seconds)]
    pub probe_interval: Duration,
    /// The share of traces that are recorded, from 0 to 1. Without a collector none is.
    ///
    /// A recorded message makes about ten spans, which take some ten kilobytes at the collector and
    /// processor time in every service. Record all of them only under little load.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "0.01", value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,
    /// The `iss` of valid tokens. Set the same value at the auth service.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "parlance")]
    pub token_issuer: String,
    /// The `aud` of valid tokens. Set the same value at the auth service.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "parlance")]
    pub token_audience: String,
    /// The TCP connections.
    #[command(flatten)]
    pub tcp: TcpConfig,
    /// The limits of one client.
    #[command(flatten)]
    pub limits: LimitsConfig,
}

/// Whether the documentation of the API is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Docs {
    /// `/docs` and the OpenAPI document are served.
    On,
    /// They are unknown paths.
    Off,
}

/// The origins (RFC 6454) whose web pages may use the API. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Arc<HashSet<String>>);

impl AllowedOrigins {
    /// Returns true if the value of a header `Origin` is one of them.
    pub fn contains(&self, origin: &str) -> bool {
        self.0.contains(origin)
    }
}

impl FromStr for AllowedOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        Ok(Self(Arc::new(origins.map(checked_origin).collect::<Result<_, _>>()?)))
    }
}

/// Returns an origin if it has the form in which browsers send it. Origins are compared byte by
/// byte.
fn checked_origin(text: &str) -> Result<String, String> {
    match serialized_origin(text) {
        Some(origin) if origin == text => Ok(origin),
        Some(origin) => Err(format!("must be {origin} and not {text}: browsers send the former")),
        None => {
            Err("must be origins such as https://chat.example or http://localhost:3000".to_owned())
        }
    }
}

/// Returns the origin of a URL as browsers send it (RFC 6454 6.2): in lower case, the host in
/// Punycode, without the port that is the default of the scheme.
fn serialized_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", url.scheme(), url.host_str().filter(|host| !host.is_empty())?))
}
