//! The commands of an operator. They work beside a running service or without one.

use anyhow::Context;
use clap::{Args, Subcommand};
use parlance_core::Clock;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;

use crate::SERVICE;
use crate::config::RotateKeysConfig;
pub use crate::model::Rotation;
use crate::ops;

/// The commands that auth has beside those of every service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publishes a new signing key, which signs once every gateway knows it.
    RotateKeys(RotateKeysConfig),
    /// Refuses a user's password and tokens from now on.
    Deactivate(UserArgs),
    /// Accepts a deactivated user's password and tokens again.
    Activate(UserArgs),
}

/// The user to activate or deactivate.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// The name of the user, in any case.
    username: String,
    #[command(flatten)]
    postgres: PostgresConfig,
}

/// Runs a command and prints its result.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let clock = Clock::system();
    match command {
        Command::RotateKeys(config) => {
            let rotation = rotate_keys(&config, &clock).await?;
            println!(
                "The key {} is published and signs from {} on.",
                rotation.kid, rotation.signs_from
            );
            println!("The old key is published until {}.", rotation.old_key_retires_at);
            Ok(())
        }
        Command::Deactivate(user) => set_active(user, &clock, false).await,
        Command::Activate(user) => set_active(user, &clock, true).await,
    }
}

/// Publishes a new signing key, which signs after the publication lead.
pub async fn rotate_keys(config: &RotateKeysConfig, clock: &Clock) -> anyhow::Result<Rotation> {
    let pool = postgres::pool(SERVICE, &config.postgres)?;
    let (lead, ttl) = (config.key_publication_lead, config.ttl.access_token_ttl);
    let rotation = ops::rotate_keys(&pool, clock, lead, ttl).await?;
    rotation.context("another rotation of the keys ran at the same moment; nothing was changed")
}

async fn set_active(args: UserArgs, clock: &Clock, is_active: bool) -> anyhow::Result<()> {
    let UserArgs { username, postgres } = args;
    let pool = postgres::pool(SERVICE, &postgres)?;
    let user = ops::set_active(&pool, clock, &username, is_active).await?;
    let user = user.with_context(|| format!("no user has the name `{username}`"))?;
    let state = if user.is_active { "active" } else { "inactive" };
    println!("The user {} (id {}) is {state}.", user.username, user.id);
    Ok(())
}
