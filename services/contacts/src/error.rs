//! Everything that can go wrong in this service.

use parlance_core::ErrorCode;
use parlance_runtime::error::Coded;
use parlance_runtime::{error, postgres};

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a user invited themselves")]
    SelfInvitation,
    #[error("the two are contacts")]
    AlreadyContacts,
    #[error("the invitation was made before")]
    AlreadyInvited,
    #[error("there is no such invitation for the acting user")]
    InvitationNotFound,
    #[error("the pair changed again and again while an invitation was made")]
    Contention,
    #[error("a statement failed")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    DatabaseTooSlow,
    #[error("the rooms service refused or could not be reached")]
    Rooms(#[source] Box<tonic::Status>),
    #[error("the rooms service did not answer in time")]
    RoomsTooSlow,
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::SelfInvitation => ErrorCode::SelfInvitation,
            Self::AlreadyContacts => ErrorCode::AlreadyContacts,
            Self::AlreadyInvited => ErrorCode::AlreadyInvited,
            Self::InvitationNotFound => ErrorCode::InvitationNotFound,
            Self::Contention | Self::DatabaseTooSlow | Self::RoomsTooSlow => ErrorCode::Unavailable,
            Self::Database(error) => postgres::code_from_error(error),
            Self::Rooms(status) => error::code_from_status(status),
        }
    }
}
