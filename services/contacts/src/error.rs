//! Everything that can go wrong in this service.

use parlance_core::ErrorCode;
use parlance_runtime::error::{Coded, code_from_status, status};
use parlance_runtime::postgres;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the acting user and the invited user are the same")]
    SelfInvitation,
    #[error("the two users are contacts")]
    AlreadyContacts,
    #[error("the acting user has invited this user before")]
    AlreadyInvited,
    #[error("no such invitation is addressed to the acting user, or was made by them")]
    InvitationNotFound,
    #[error("the acting user has made as many invitations as may be open")]
    TooManyInvitations,
    #[error("the pair changed during every attempt to invite")]
    Contention,
    #[error("a database statement failed")]
    Database(#[source] sqlx::Error),
    #[error("the database did not answer in time")]
    DatabaseTimeout,
    #[error("a call of the rooms service failed")]
    Rooms(#[source] Box<tonic::Status>),
    #[error("the rooms service did not answer in time")]
    RoomsTimeout,
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
            Self::SelfInvitation => ErrorCode::SelfInvitation,
            Self::AlreadyContacts => ErrorCode::AlreadyContacts,
            Self::AlreadyInvited => ErrorCode::AlreadyInvited,
            Self::InvitationNotFound => ErrorCode::InvitationNotFound,
            Self::TooManyInvitations => ErrorCode::TooManyInvitations,
            Self::Contention | Self::DatabaseTimeout | Self::RoomsTimeout => ErrorCode::Unavailable,
            Self::Database(error) => postgres::code_from_error(error),
            Self::Rooms(status) => code_from_status(status),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}
