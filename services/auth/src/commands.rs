//! What an operator does from the command line, beside a running service or without one.

use anyhow::Context;
use clap::{Args, Subcommand};
use parlance_core::Clock;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;

use crate::SERVICE;
use crate::config::RotateKeysConfig;
use crate::model::User;
use crate::ops;
pub use crate::ops::rotate_keys::Rotation;

/// The commands that auth has beside those of every service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publishes a new signing key, which takes over once every verifier knows it.
    RotateKeys(RotateKeysConfig),
    /// Refuses a user's password and tokens from now on.
    Deactivate(UserArgs),
    /// Accepts a deactivated user's password and tokens again.
    Activate(UserArgs),
}

/// The user that a command is about.
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
    let (user, is_active) = match command {
        Command::RotateKeys(config) => return rotate_and_print(&config, &clock).await,
        Command::Deactivate(user) => (user, false),
        Command::Activate(user) => (user, true),
    };
    let user = set_active(&user.postgres, &clock, &user.username, is_active).await?;
    let state = if user.is_active { "active" } else { "inactive" };
    println!("The user {} (id {}) is {state}.", user.username, user.id);
    Ok(())
}

async fn rotate_and_print(config: &RotateKeysConfig, clock: &Clock) -> anyhow::Result<()> {
    let Rotation { kid, signs_from, old_key_retires_at } = rotate_keys(config, clock).await?;
    println!("The key {kid} is published and signs from {signs_from} on.");
    println!("The old key is published until {old_key_retires_at}.");
    Ok(())
}

/// Publishes a new signing key, which takes over after the publication lead.
pub async fn rotate_keys(config: &RotateKeysConfig, clock: &Clock) -> anyhow::Result<Rotation> {
    let pool = postgres::pool(SERVICE, &config.postgres)?;
    let (lead, life) = (config.key_publication_lead, config.life.access_token_ttl);
    let rotation = ops::rotate_keys::rotate_keys(&pool, clock, lead, life).await?;
    rotation.context("somebody else rotated the keys at the same moment; nothing was done")
}

/// Makes a user active or inactive, and returns the user as it is then.
async fn set_active(
    config: &PostgresConfig,
    clock: &Clock,
    username: &str,
    is_active: bool,
) -> anyhow::Result<User> {
    let pool = postgres::pool(SERVICE, config)?;
    let user = ops::set_active::set_active(&pool, clock, username.to_owned(), is_active).await?;
    user.with_context(|| format!("no user has the name `{username}`"))
}
