//! Why the service refuses or fails.

use std::time::Duration;

use parlance_core::{ErrorCode, Violation};
use parlance_runtime::error::Coded;
use parlance_runtime::postgres::code_from_error;

/// Every way in which a use case can end badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the username or the password breaks the rules")]
    Rule(#[from] Violation),
    #[error("more than {limit} are asked for at once")]
    TooManyRequested { limit: usize },
    #[error("the username is taken")]
    UsernameTaken,
    #[error("no active user has this name and this password")]
    InvalidCredentials,
    #[error("too many passwords wait to be hashed")]
    HashQueueFull { retry_after: Duration },
    #[error("a password could not be hashed or compared")]
    Hash(#[source] bcrypt::BcryptError),
    #[error("the hashing of a password broke off")]
    HashTask(#[source] tokio::task::JoinError),
    #[error("there is no key to sign with; `auth rotate-keys` makes one")]
    NoSigningKey,
    #[error("a signing key could not be made or read")]
    SigningKey,
    #[error("a token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Rule(_) | Self::TooManyRequested { .. } => ErrorCode::Validation,
            Self::UsernameTaken => ErrorCode::UsernameTaken,
            Self::InvalidCredentials => ErrorCode::InvalidCredentials,
            Self::HashQueueFull { .. } => ErrorCode::Unavailable,
            Self::Database(error) => code_from_error(error),
            Self::Hash(_)
            | Self::HashTask(_)
            | Self::NoSigningKey
            | Self::SigningKey
            | Self::Sign(_) => ErrorCode::Internal,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HashQueueFull { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
