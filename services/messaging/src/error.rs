//! Why a request to this service fails.

use parlance_core::ErrorCode;
use parlance_runtime::error::Coded;
use parlance_runtime::postgres;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A rule forbids it, or another service could not be asked.
    #[error("refused: {}", .0.name())]
    Refused(ErrorCode),
    /// A call that breaks the contract, which only a mistake of ours explains.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] sqlx::Error),
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code) => *code,
            Self::Malformed(_) => ErrorCode::BadRequest,
            Self::Store(error) => postgres::code_from_error(error),
        }
    }
}
