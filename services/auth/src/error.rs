//! Everything that can go wrong in this service.

use std::time::Duration;

use parlance_core::{ErrorCode, Violation};
use parlance_runtime::error::{Coded, status};
use parlance_runtime::postgres;

use crate::issuers::Refusal;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the username or the password breaks a rule")]
    RuleViolated(#[from] Violation),
    #[error("the request has more than {limit} entries")]
    TooManyRequested { limit: usize },
    #[error("the username is taken")]
    UsernameTaken,
    #[error("the identity was not accepted")]
    IdentityRefused(#[source] Refusal),
    #[error("no username can be made from the identity")]
    UsernameNeeded,
    #[error("registration is closed")]
    RegistrationClosed,
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("the account has no password, and the session did not begin just now")]
    LogInAgain,
    #[error("the reset code was never issued, has expired, or was used")]
    ResetCodeInvalid,
    #[error("no active user has this name and this password")]
    InvalidCredentials,
    #[error("too many log-ins of the account have failed")]
    TooManyFailures { retry_after: Duration },
    #[error("the queue of passwords to hash is full")]
    HashQueueFull { retry_after: Duration },
    #[error("too many passwords of the client's address wait to be hashed")]
    HashShareFull { retry_after: Duration },
    #[error("cannot hash or compare a password")]
    Hash(#[source] bcrypt::BcryptError),
    #[error("the hashing of a password did not end")]
    HashTask(#[source] tokio::task::JoinError),
    #[error("there is no signing key; `auth rotate-keys` makes one")]
    NoSigningKey,
    #[error("cannot make a signing key")]
    SigningKey,
    #[error("cannot make a random token")]
    Random,
    #[error("the session has ended, or the refresh token is not a live one")]
    SessionRevoked,
    #[error("the user has no such live session")]
    SessionNotFound,
    #[error("the request does not name its caller")]
    NoCaller,
    #[error("the request lacks the current password, and the account has one")]
    NoCurrentPassword,
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("a database statement failed")]
    Database(#[source] sqlx::Error),
    #[error("the database did not answer in time")]
    DatabaseTimeout,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        postgres::note_error(&error);
        Self::Database(error)
    }
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::RuleViolated(_) | Self::TooManyRequested { .. } | Self::NoCaller => {
                ErrorCode::Validation
            }
            Self::SessionRevoked => ErrorCode::SessionRevoked,
            Self::SessionNotFound => ErrorCode::SessionNotFound,
            Self::RegistrationClosed => ErrorCode::RegistrationClosed,
            Self::WrongPassword | Self::NoCurrentPassword => ErrorCode::WrongPassword,
            Self::LogInAgain => ErrorCode::LogInAgain,
            Self::ResetCodeInvalid => ErrorCode::ResetCodeInvalid,
            Self::IdentityRefused(Refusal::KeysBusy) => ErrorCode::Unavailable,
            Self::IdentityRefused(_) => ErrorCode::IdentityRefused,
            Self::UsernameNeeded => ErrorCode::UsernameNeeded,
            Self::UsernameTaken => ErrorCode::UsernameTaken,
            Self::InvalidCredentials => ErrorCode::InvalidCredentials,
            Self::HashShareFull { .. } | Self::TooManyFailures { .. } => ErrorCode::RateLimited,
            Self::HashQueueFull { .. } | Self::DatabaseTimeout => ErrorCode::Unavailable,
            Self::Database(error) => postgres::code_from_error(error),
            Self::Hash(_)
            | Self::HashTask(_)
            | Self::NoSigningKey
            | Self::SigningKey
            | Self::Random
            | Self::Sign(_) => ErrorCode::Internal,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HashQueueFull { retry_after } | Self::HashShareFull { retry_after } => {
                Some(*retry_after)
            }
            Self::TooManyFailures { retry_after } => Some(rounded_up(*retry_after)),
            _ => None,
        }
    }
}

/// Returns the next whole second: an earlier retry would be refused again.
fn rounded_up(duration: Duration) -> Duration {
    let is_whole = duration.subsec_nanos() == 0;
    Duration::from_secs(duration.as_secs().saturating_add(u64::from(!is_whole)))
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}
