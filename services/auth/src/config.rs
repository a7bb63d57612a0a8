//! The settings of the auth service and of its commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use parlance_runtime::config::{GrpcServerConfig, PostgresConfig, number, seconds};

/// The settings of `auth serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The gRPC server.
    #[command(flatten)]
    pub grpc: GrpcServerConfig,
    /// The database with the schema `auth`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// The content of tokens.
    #[command(flatten)]
    pub tokens: TokenConfig,
    /// How long sessions live.
    #[command(flatten)]
    pub sessions: SessionConfig,
    /// Who may have an account, with which password.
    #[command(flatten)]
    pub accounts: AccountConfig,
    /// The hashing of passwords.
    #[command(flatten)]
    pub passwords: PasswordConfig,
}

/// The content of access tokens.
#[derive(Args, Clone, Debug)]
pub struct TokenConfig {
    /// The claim `iss` of access tokens. The gateway must have the same.
    ///
    /// A change makes all issued tokens invalid, as with `TOKEN_AUDIENCE`.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "parlance", value_parser = not_empty)]
    pub token_issuer: String,
    /// The claim `aud` of access tokens. The gateway must have the same.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "parlance", value_parser = not_empty)]
    pub token_audience: String,
    /// How long tokens are valid.
    #[command(flatten)]
    pub ttl: TokenTtlConfig,
}

/// How long access tokens are valid.
#[derive(Args, Clone, Debug)]
pub struct TokenTtlConfig {
    /// How long an access token is valid, in whole seconds; 8 days by default.
    ///
    /// `auth rotate-keys`, `end-sessions` and `deactivate` need the same value. A lower value
    /// applies to new tokens only: before a rotation of keys, wait until the tokens issued earlier
    /// have expired.
    #[arg(long, env = "ACCESS_TOKEN_TTL", default_value = "691200", value_parser = whole_seconds)]
    pub access_token_ttl: Duration,
}

/// How long sessions and their tokens live.
#[derive(Args, Clone, Debug)]
pub struct SessionConfig {
    /// How long an access token is valid whose client can refresh it, in whole seconds; 15 minutes
    /// by default.
    ///
    /// Never longer than `ACCESS_TOKEN_TTL`, so that no token outlives the key that signed it.
    #[arg(long, env = "SHORT_TOKEN_TTL", default_value = "900", value_parser = whole_seconds)]
    pub short_token_ttl: Duration,
    /// How long a refresh token is valid, in whole seconds; 30 days by default.
    ///
    /// Who does not come back in this time has to log in again.
    #[arg(long, env = "REFRESH_TOKEN_TTL", default_value = "2592000", value_parser = whole_seconds)]
    pub refresh_token_ttl: Duration,
    /// How long a session lives at most, in whole seconds; 180 days by default. Then the user has
    /// to log in again.
    #[arg(long, env = "SESSION_TTL", default_value = "15552000", value_parser = whole_seconds)]
    pub session_ttl: Duration,
}

/// Who may have an account, with which password.
#[derive(Args, Clone, Debug)]
pub struct AccountConfig {
    /// Whether users may make accounts themselves. `closed` refuses it with `registration_closed`.
    #[arg(long, env = "REGISTRATION", value_enum, default_value_t = Registration::Open)]
    pub registration: Registration,
    /// Whether new passwords are refused that are among the 10,000 most common ones, or are the
    /// username, in any case.
    ///
    /// Set it where the users are people. Present passwords stay valid.
    #[arg(long, env = "REFUSE_COMMON_PASSWORDS")]
    pub refuse_common_passwords: bool,
    /// A file in TOML with the trusted issuers of identities, whose users need not register.
    /// `docs/embedding.md` describes it. It is read again when it changes.
    ///
    /// Without it no identity is accepted.
    #[arg(long, env = "ISSUERS")]
    pub issuers: Option<PathBuf>,
}

/// Whether users may make accounts themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Everybody may.
    Open,
    /// Nobody may.
    Closed,
}

/// The hashing of passwords.
#[derive(Args, Clone, Debug)]
pub struct PasswordConfig {
    /// The cost of new bcrypt hashes. One more doubles the time.
    ///
    /// 12 takes about 0.3 s of a core. It can be changed at any time: other hashes stay valid, and
    /// each is renewed when its user logs in. Until all are, a failed log-in takes as long as the
    /// highest cost of a stored hash.
    #[arg(long, env = "BCRYPT_COST", default_value = "12", value_parser = number(4..=31))]
    pub bcrypt_cost: u32,
    /// How many passwords are hashed at the same time; as many as there are cores by default.
    #[arg(long, env = "HASH_THREADS", hide_default_value = true)]
    #[arg(default_value_t = available_cores(), value_parser = number(1..=1024))]
    pub hash_threads: u32,
    /// How many requests may wait for a hash. In a full queue the address with the most waiting
    /// makes room for others; if there is none, further requests are refused with `unavailable`.
    ///
    /// A longer queue makes requests wait longer, but no more of them succeed. `PASSWORD_DEADLINE`
    /// of the gateway has to cover a full queue.
    #[arg(long, env = "HASH_QUEUE", default_value = "128", value_parser = number(0..=65_536))]
    pub hash_queue: u32,
    /// How many requests from one address may wait for a hash. Further ones are refused with
    /// `rate_limited`. An IPv6 network of 64 bits counts as one address.
    ///
    /// Addresses are served in turn, so a higher value delays only clients that share one.
    #[arg(
        long, env = "HASH_QUEUE_PER_ADDRESS",
        default_value = "64", value_parser = number(1..=65_536)
    )]
    pub hash_queue_per_address: u32,
}

/// The settings of `auth rotate-keys`.
#[derive(Args, Clone, Debug)]
pub struct RotateKeysConfig {
    /// The database with the schema `auth`.
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// How long the new key is published before it signs, in seconds. Must be longer than any
    /// gateway takes to learn of the key.
    #[arg(long, env = "KEY_PUBLICATION_LEAD", default_value = "60", value_parser = seconds)]
    pub key_publication_lead: Duration,
    /// How long the tokens signed with the old key are valid.
    #[command(flatten)]
    pub ttl: TokenTtlConfig,
    /// Replaces all keys within the publication lead and ends all sessions, because a key may have
    /// leaked.
    #[arg(long)]
    pub leaked: bool,
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
