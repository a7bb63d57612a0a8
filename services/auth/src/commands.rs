//! What an operator does from the command line, beside a running service or without one.

use anyhow::Context;
use parlance_core::Clock;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;

use crate::config::RotateKeysConfig;
use crate::model::User;
use crate::ops;
pub use crate::ops::rotate_keys::Rotation;
use crate::{MIGRATOR, SERVICE};

/// Brings the schema up to date.
pub async fn migrate(config: &PostgresConfig) -> anyhow::Result<()> {
    postgres::migrate(SERVICE, config, &MIGRATOR).await
}

/// Lists the migrations, one a line.
pub async fn migration_status(config: &PostgresConfig) -> anyhow::Result<String> {
    postgres::migration_status(SERVICE, config, &MIGRATOR).await
}

/// Publishes a new signing key, which takes over after the publication lead.
pub async fn rotate_keys(config: &RotateKeysConfig, clock: &Clock) -> anyhow::Result<Rotation> {
    let pool = postgres::pool(SERVICE, &config.postgres)?;
    let (lead, life) = (config.key_publication_lead, config.life.access_token_ttl);
    let rotation = ops::rotate_keys::rotate_keys(&pool, clock, lead, life).await?;
    rotation.context("somebody else rotated the keys at the same moment; nothing was done")
}

/// Makes a user active or inactive, and returns the user as it is then.
pub async fn set_active(
    config: &PostgresConfig,
    clock: &Clock,
    username: &str,
    is_active: bool,
) -> anyhow::Result<User> {
    let pool = postgres::pool(SERVICE, config)?;
    let user = ops::set_active::set_active(&pool, clock, username.to_owned(), is_active).await?;
    user.with_context(|| format!("no user has the name `{username}`"))
}
