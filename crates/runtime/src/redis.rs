//! Connections to Redis that come back by themselves.

use std::time::Duration;

use anyhow::Context;
use fred::clients::{Client, SubscriberClient};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig};
use secrecy::ExposeSecret;

use crate::config::RedisConfig;

/// One connection to publish on and one to subscribe on. They are not connected yet: call `init` or `connect`. After a lost
/// connection the subscriber is subscribed to nothing; its owner subscribes again on every `reconnect_rx`.
pub fn clients(config: &RedisConfig) -> anyhow::Result<(Client, SubscriberClient)> {
    let url = Config::from_url(config.redis_url.expose_secret()).context("REDIS_URL is not a Redis URL")?;
    let mut builder = Builder::from_config(url);
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
