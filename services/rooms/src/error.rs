//! Everything that can go wrong in this service.

use std::time::Duration;

use parlance_core::{ErrorCode, Violation};
use parlance_runtime::error::{Coded, status};
use parlance_runtime::postgres;

/// When what was too much may be possible again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the room does not exist")]
    RoomNotFound,
    #[error("the room is a system room")]
    SystemRoom,
    #[error("the acting user does not own the room")]
    NotTheOwner,
    #[error("the acting user is not a member of the room")]
    NotAMember,
    #[error("the membership to end does not exist")]
    MemberNotFound,
    #[error("the user to remove does not exist")]
    UserNotFound,
    #[error("the membership to end is that of the owner")]
    OwnerCannotLeave,
    #[error("the name of the room breaks a rule")]
    NameInvalid(#[source] Violation),
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    #[error("an answer with {members} members is too large")]
    AnswerTooLarge { members: usize },
    #[error("other large answers take too long")]
    TooManyLargeAnswers,
    #[error("earlier changes of the room take too long")]
    TooManyChanges,
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
            Self::RoomNotFound => ErrorCode::RoomNotFound,
            Self::SystemRoom => ErrorCode::SystemRoom,
            Self::NotTheOwner => ErrorCode::NotTheOwner,
            Self::NotAMember => ErrorCode::NotAMember,
            Self::MemberNotFound => ErrorCode::MemberNotFound,
            Self::UserNotFound => ErrorCode::UserNotFound,
            Self::OwnerCannotLeave => ErrorCode::OwnerCannotLeave,
            Self::NameInvalid(_) => ErrorCode::Validation,
            Self::Malformed(_) => ErrorCode::BadRequest,
            Self::Database(error) => postgres::code_from_error(error),
            Self::AnswerTooLarge { .. }
            | Self::TooManyLargeAnswers
            | Self::TooManyChanges
            | Self::DatabaseTimeout => ErrorCode::Unavailable,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let is_busy = matches!(self, Self::TooManyLargeAnswers | Self::TooManyChanges);
        is_busy.then_some(RETRY_AFTER)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}
