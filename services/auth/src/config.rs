//! The settings of the auth service and of its commands.

use std::time::Duration;

use clap::Args;
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, number, seconds};

/// Everything that `auth serve` can be told.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The database with the schema `auth`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// What goes into tokens.
    #[command(flatten)]
    pub tokens: TokenConfig,
    /// The cost of passwords.
    #[command(flatten)]
    pub passwords: PasswordConfig,
}

/// What goes into access tokens.
#[derive(Args, Clone, Debug)]
pub struct TokenConfig {
    /// The claim `iss` of access tokens; the gateway must expect the same.
    ///
    /// Whoever changes it ends all tokens, as with `TOKEN_AUDIENCE`.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "parlance", value_parser = not_empty)]
    pub token_issuer: String,
    /// The claim `aud` of access tokens; the gateway must expect the same.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "parlance", value_parser = not_empty)]
    pub token_audience: String,
    /// How long tokens live.
    #[command(flatten)]
    pub life: TokenLifeConfig,
}

/// How long access tokens live. The service and `auth rotate-keys` must be told the same.
#[derive(Args, Clone, Debug)]
pub struct TokenLifeConfig {
    /// The life of an access token in whole seconds; 8 days by default.
    ///
    /// `auth rotate-keys` has to be told the same. A lower value holds for new tokens only: wait
    /// for the longest before keys are rotated.
    #[arg(long, env = "ACCESS_TOKEN_TTL", default_value = "691200", value_parser = whole_seconds)]
    pub access_token_ttl: Duration,
}

/// What hashing passwords may cost.
#[derive(Args, Clone, Debug)]
pub struct PasswordConfig {
    /// The cost of new bcrypt hashes; one more doubles the time.
    ///
    /// 12 takes about 0.3 s of a core. It can be raised at any time: older hashes stay valid.
    #[arg(long, env = "BCRYPT_COST", default_value = "12", value_parser = number(4..=31))]
    pub bcrypt_cost: u32,
    /// How many passwords are hashed at the same time; by default as many as there are cores.
    #[arg(long, env = "HASH_THREADS", hide_default_value = true, default_value_t = available_cores(), value_parser = number(1..=1024))]
    pub hash_threads: u32,
    /// How many more may wait for their turn before others are told to come back later.
    ///
    /// A longer queue makes people wait longer, and no more of them log in: `PASSWORD_DEADLINE` of
    /// the gateway has to suffice for it.
    #[arg(long, env = "HASH_QUEUE", default_value = "64", value_parser = number(0..=65_536))]
    pub hash_queue: u32,
}

/// Everything that `auth rotate-keys` can be told.
#[derive(Args, Clone, Debug)]
pub struct RotateKeysConfig {
    /// The database with the schema `auth`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// How long the new key is published before it signs, in seconds: longer than any verifier
    /// takes to hear of it.
    #[arg(long, env = "KEY_PUBLICATION_LEAD", default_value = "60", value_parser = seconds)]
    pub key_publication_lead: Duration,
    /// How long tokens live that were signed with the old key.
    #[command(flatten)]
    pub life: TokenLifeConfig,
}

fn available_cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(1).min(1024)
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(duration) if duration.subsec_nanos() == 0 => Ok(duration),
        _ => Err("must be a whole number of seconds above 0, such as 3600".to_owned()),
    }
}

fn not_empty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("must be any text but an empty one") } else { Ok(text.to_owned()) }
}
