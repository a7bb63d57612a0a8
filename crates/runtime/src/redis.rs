//! Connections to Redis that reconnect by themselves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use fred::clients::{Client, SubscriberClient};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, TlsConnector, UnresponsiveConfig};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use secrecy::ExposeSecret;

use crate::config::RedisConfig;
use crate::tls::root_store;

const WRONG_URL: &str = "REDIS_URL is not the URL of a Redis or Valkey";

/// Returns a client to publish with and one to subscribe with. They connect on `init` or `connect`.
/// After a lost connection the subscriber is subscribed to nothing: its owner subscribes again on
/// every `reconnect_rx`.
pub fn clients(config: &RedisConfig) -> anyhow::Result<(Client, SubscriberClient)> {
    let mut builder = Builder::from_config(server_config(config)?);
    builder
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2))
        .with_performance_config(|performance| {
            performance.default_command_timeout = Duration::from_secs(1);
            performance.broadcast_channel_capacity = 16_384;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(1);
            connection.internal_command_timeout = Duration::from_secs(1);
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = 16_384;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(Duration::from_secs(2)),
                interval: Duration::from_millis(500),
            };
        });
    Ok((builder.build()?, builder.build_subscriber_client()?))
}

fn server_config(config: &RedisConfig) -> anyhow::Result<Config> {
    let url = config.redis_url.expose_secret();
    // Parsed as a URL without TLS, because fred loads the system's authorities for `rediss`.
    let (is_encrypted, plain) = without_tls(url).context(WRONG_URL)?;
    let mut server_config = Config::from_url(&plain).context(WRONG_URL)?;
    server_config.tls = match &config.redis_ca {
        Some(ca) if is_encrypted => Some(connector(ca).context("REDIS_CA")?.into()),
        Some(_) => bail!("REDIS_CA is for a REDIS_URL that begins with rediss://"),
        None if is_encrypted => Some(TlsConnector::default_rustls()?.into()),
        None => None,
    };
    Ok(server_config)
}

/// Returns whether the URL asks for TLS, and the URL with a scheme of Redis without it. `None` if
/// the scheme is of no kind of Redis or Valkey.
fn without_tls(url: &str) -> Option<(bool, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (base, group) = scheme.split_once('-').unwrap_or((scheme, ""));
    let is_encrypted = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return None,
    };
    match group {
        "" => Some((is_encrypted, format!("redis://{rest}"))),
        "cluster" | "sentinel" => Some((is_encrypted, format!("redis-{group}://{rest}"))),
        _ => None,
    }
}

/// Returns a connector that trusts the authorities in a file, and no others.
fn connector(ca: &Path) -> anyhow::Result<TlsConnector> {
    let pem = fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(root_store(&pem)?)
        .with_no_client_auth();
    Ok(config.into())
}
