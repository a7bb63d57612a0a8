//! Why a request to this service fails.

use parlance_core::ErrorCode;
use parlance_runtime::error::Coded;
use parlance_runtime::postgres;
use tonic::Status;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A rule forbids the request, the request is malformed, or another service is unavailable.
    #[error("refused: {}", .0.name())]
    Refused(ErrorCode),
    /// A statement failed.
    #[error("database error")]
    Store(#[source] sqlx::Error),
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        postgres::note_error(&error);
        Self::Store(error)
    }
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code) => *code,
            Self::Store(error) => postgres::code_from_error(error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        parlance_runtime::error::status(&error)
    }
}
