//! The settings of the gateway.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::Uri;
use parlance_runtime::config::{CredentialConfig, addresses, ratio, seconds, socket_address};

use crate::limits::LimitsConfig;

/// Everything that can be set, each as a flag and as an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What the services demand.
    #[command(flatten)]
    pub credential: CredentialConfig,
    /// Where the public API is served.
    ///
    /// In a container `0.0.0.0:8000`.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8000", value_parser = socket_address)]
    pub listen: SocketAddr,
    /// The origins whose web pages may use the API, comma-separated, each as
    /// `scheme://host[:port]`; empty for none.
    ///
    /// The default is for a page that is being developed: name yours.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", default_value = "http://localhost:3000")]
    pub cors_allowed_origins: AllowedOrigins,
    /// Where the auth service is: comma-separated `host:port`; a host may stand for many replicas.
    #[arg(long, env = "AUTH_ADDRESSES", default_value = "127.0.0.1:9001", value_parser = addresses)]
    pub auth_addresses: String,
    /// Where the contacts service is, likewise.
    #[arg(long, env = "CONTACTS_ADDRESSES", default_value = "127.0.0.1:9002", value_parser = addresses)]
    pub contacts_addresses: String,
    /// Where the rooms service is, likewise.
    #[arg(long, env = "ROOMS_ADDRESSES", default_value = "127.0.0.1:9003", value_parser = addresses)]
    pub rooms_addresses: String,
    /// Where the messaging service is, likewise.
    #[arg(long, env = "MESSAGING_ADDRESSES", default_value = "127.0.0.1:9004", value_parser = addresses)]
    pub messaging_addresses: String,
    /// How long a call to a service may take, in seconds.
    ///
    /// Statements are ended after 1.5 s: with less than 2 s here, a store that is slow cannot be
    /// told from a service that is away.
    #[arg(long, env = "UPSTREAM_DEADLINE", default_value = "2", value_parser = seconds)]
    pub upstream_deadline: Duration,
    /// How long registering and logging in may take, in seconds: passwords are hashed slowly, and
    /// one after the other.
    ///
    /// Raise it with `HASH_QUEUE` of auth: it has to suffice for the last of those who wait.
    #[arg(long, env = "PASSWORD_DEADLINE", default_value = "15", value_parser = seconds)]
    pub password_deadline: Duration,
    /// How often the gateway sends a message to itself, to see that messages flow, in seconds.
    ///
    /// Above 25 s the alert MessagesDoNotFlow needs a higher limit, too.
    #[arg(long, env = "CANARY_INTERVAL", default_value = "10", value_parser = seconds)]
    pub canary_interval: Duration,
    /// How many of all traces are recorded, from 0 for none to 1 for all, if there is a collector.
    ///
    /// A recorded message is about ten steps, which take some ten kilobytes at the collector and
    /// processor time in every part: record all of them only where there is little to do.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "0.01", value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,
    /// The `iss` that tokens must have; the same as at the auth service.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "parlance")]
    pub token_issuer: String,
    /// The `aud` that tokens must have; the same as at the auth service.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "parlance")]
    pub token_audience: String,
    /// What one client may take.
    #[command(flatten)]
    pub limits: LimitsConfig,
}

/// The origins (RFC 6454) whose web pages may use the API. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Arc<HashSet<String>>);

impl AllowedOrigins {
    /// Whether an `Origin` header with this value names one of them.
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

/// An origin is compared byte for byte, so one that no browser would send is a mistake.
fn checked_origin(text: &str) -> Result<String, String> {
    let uri = text.parse::<Uri>().ok();
    let canonical = uri.and_then(|uri| {
        Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str().to_lowercase()))
    });
    if canonical.as_deref() == Some(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be origins such as https://chat.example or http://localhost:3000, not `{text}`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::AllowedOrigins;

    #[test]
    fn origins_are_a_list_of_scheme_host_and_port() {
        let origins: AllowedOrigins =
            "http://localhost:3000, https://chat.example".parse().unwrap();
        assert!(
            origins.contains("http://localhost:3000") && origins.contains("https://chat.example")
        );
        assert!(!origins.contains("http://localhost"));
        assert!("".parse::<AllowedOrigins>().is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "*",
            "null",
            "localhost:3000",
            "http://localhost:3000/",
            "http://a.example/path",
            "http://A.example",
        ] {
            assert!(bad.parse::<AllowedOrigins>().is_err(), "{bad}");
        }
    }
}
