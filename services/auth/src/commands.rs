//! The commands of an operator. They work beside a running service or without one.

use anyhow::Context;
use clap::{Args, Subcommand};
use parlance_core::Clock;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_runtime::postgres::Pool;

use crate::config::{RotateKeysConfig, TokenTtlConfig};
pub use crate::model::Rotation;
use crate::{SERVICE, audit, ops};

/// The commands that auth has beside those of every service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publishes a new signing key, which signs once every gateway knows it.
    RotateKeys(RotateKeysConfig),
    /// Refuses a user's password from now on, and ends all sessions of the user.
    Deactivate(EndSessionsArgs),
    /// Accepts a deactivated user's password again.
    Activate(UserArgs),
    /// Ends all sessions of a user, who can log in again.
    EndSessions(EndSessionsArgs),
    /// Prints a code with which the user can set a new password: once, within an hour. An earlier
    /// code is void.
    IssueReset(UserArgs),
}

/// The user of a command.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// The name of the user, in any case.
    username: String,
    #[command(flatten)]
    postgres: PostgresConfig,
}

/// The user whose sessions end.
#[derive(Args, Debug)]
pub struct EndSessionsArgs {
    #[command(flatten)]
    user: UserArgs,
    /// How long the user's tokens are valid that have no session.
    #[command(flatten)]
    ttl: TokenTtlConfig,
}

/// Runs a command and prints its result.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let clock = Clock::system();
    match command {
        Command::RotateKeys(config) => {
            let rotation = rotate_keys(&config, &clock).await?;
            print(&config, &rotation);
            Ok(())
        }
        Command::Deactivate(args) => {
            let (name, ttl) = (&args.user.username, args.ttl.access_token_ttl);
            let user = ops::deactivate(&args.user.pool()?, &clock, name, ttl).await?;
            let user = known(user, name)?;
            audit::record_command("deactivated", Some(user.id));
            println!("The user {} (id {}) is inactive.", user.username, user.id);
            Ok(())
        }
        Command::Activate(args) => {
            let user = ops::activate(&args.pool()?, &clock, &args.username).await?;
            let user = known(user, &args.username)?;
            audit::record_command("activated", Some(user.id));
            println!("The user {} (id {}) is active.", user.username, user.id);
            Ok(())
        }
        Command::EndSessions(args) => {
            let (name, ttl) = (&args.user.username, args.ttl.access_token_ttl);
            let user = ops::end_sessions(&args.user.pool()?, &clock, name, ttl).await?;
            let user = known(user, name)?;
            audit::record_command("sessions_ended", Some(user.id));
            println!("All sessions of {} (id {}) have ended.", user.username, user.id);
            Ok(())
        }
        Command::IssueReset(args) => issue_reset(&args).await,
    }
}

fn print(config: &RotateKeysConfig, rotation: &Rotation) {
    let Rotation { kid, signs_from, old_key_retires_at } = rotation;
    if config.leaked {
        println!("The key {kid} is the only one since {signs_from}. All sessions have ended.");
    } else {
        println!("The key {kid} is published and signs from {signs_from} on.");
        println!("The old key is published until {old_key_retires_at}.");
    }
}

/// Publishes a new signing key, which signs after the publication lead, or which replaces all others
/// within it if they have leaked.
pub async fn rotate_keys(config: &RotateKeysConfig, clock: &Clock) -> anyhow::Result<Rotation> {
    let pool = postgres::pool(SERVICE, &config.postgres)?;
    let (lead, ttl) = (config.key_publication_lead, config.ttl.access_token_ttl);
    let rotation = if config.leaked {
        ops::rotate_leaked_keys(&pool, clock, lead, ttl).await?
    } else {
        ops::rotate_keys(&pool, clock, lead, ttl).await?
    };
    let rotation = rotation
        .context("another rotation of the keys ran at the same moment; run the command again")?;
    let event = if config.leaked { "leaked_keys_replaced" } else { "keys_rotated" };
    audit::record_command(event, None);
    Ok(rotation)
}

async fn issue_reset(args: &UserArgs) -> anyhow::Result<()> {
    let issued = ops::issue_reset(&args.pool()?, &args.username).await?;
    let (user, code) = known(issued, &args.username)?;
    audit::record_command("reset_issued", Some(user.id));
    println!("The reset code of {} (id {}), good once and for an hour:", user.username, user.id);
    println!("{code}");
    Ok(())
}

fn known<T>(user: Option<T>, username: &str) -> anyhow::Result<T> {
    user.with_context(|| format!("no user has the name `{username}`"))
}

impl UserArgs {
    fn pool(&self) -> anyhow::Result<Pool> {
        postgres::pool(SERVICE, &self.postgres)
    }
}
