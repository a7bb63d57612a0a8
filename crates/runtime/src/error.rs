//! The table that maps error codes to gRPC and HTTP, and their encoding in a gRPC status.
//!
//! A service responds with a [`Status`] from [`status`]. The metadata entry `parlance-error`
//! carries the code, and [`code_from_status`] reads it on the other side. No other module builds a
//! `Status`.

use std::time::Duration;

use http::StatusCode;
use parlance_core::ErrorCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

const CODE_KEY: &str = "parlance-error";
const RETRY_AFTER_KEY: &str = "retry-after";

/// An error of a service that has an error code.
pub trait Coded: std::error::Error {
    /// The code for the caller.
    fn code(&self) -> ErrorCode;

    /// After how long the caller should retry, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// Returns the gRPC code and the HTTP status of an error code.
pub const fn mapping(code: ErrorCode) -> (Code, StatusCode) {
    use ErrorCode::*;
    match code {
        Validation | ContentInvalid => (Code::InvalidArgument, StatusCode::UNPROCESSABLE_ENTITY),
        UsernameTaken | AlreadyContacts | AlreadyInvited => {
            (Code::AlreadyExists, StatusCode::BAD_REQUEST)
        }
        SelfInvitation => (Code::FailedPrecondition, StatusCode::BAD_REQUEST),
        WrongPassword | ResetCodeInvalid => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        UsernameNeeded => (Code::FailedPrecondition, StatusCode::CONFLICT),
        InvalidCredentials | Unauthenticated | InvalidToken | InactiveUser | TokenExpired
        | SessionRevoked | IdentityRefused => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
        UserNotFound | InvitationNotFound | RoomNotFound | MemberNotFound | MessageNotFound
        | SessionNotFound | NotFound => (Code::NotFound, StatusCode::NOT_FOUND),
        NotAMember | SystemRoom | NotTheOwner | OwnerCannotLeave | NotTheSender
        | OriginNotAllowed | RegistrationClosed | LogInAgain | TooManyInvitations => {
            (Code::PermissionDenied, StatusCode::FORBIDDEN)
        }
        MethodNotAllowed => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
        UnsupportedMediaType => (Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        PayloadTooLarge => (Code::InvalidArgument, StatusCode::PAYLOAD_TOO_LARGE),
        RequestTimeout => (Code::Aborted, StatusCode::REQUEST_TIMEOUT),
        UriTooLong => (Code::InvalidArgument, StatusCode::URI_TOO_LONG),
        HeadersTooLarge => (Code::InvalidArgument, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        BadRequest | InvalidJson | InvalidFrame | UnknownType => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST)
        }
        UpgradeRequired => (Code::InvalidArgument, StatusCode::UPGRADE_REQUIRED),
        RateLimited => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
        Unavailable => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Returns the HTTP status of an error code.
pub const fn http_status(code: ErrorCode) -> StatusCode {
    mapping(code).1
}

/// Returns the gRPC status of an error. The chain of causes is logged here, once, and does not
/// leave the process.
pub fn status(error: &dyn Coded) -> Status {
    let code = error.code();
    match code {
        ErrorCode::Internal => {
            tracing::error!(error = chain(error), "a request failed with an internal error")
        }
        ErrorCode::Unavailable => {
            tracing::warn!(error = chain(error), "a request failed: a dependency is unavailable")
        }
        _ => tracing::debug!(error.code = code.name(), "a request was refused"),
    }
    status_from_code(code, error.retry_after())
}

/// Returns the gRPC status of a bare code.
pub fn status_from_code(code: ErrorCode, retry_after: Option<Duration>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE_KEY, MetadataValue::from_static(code.name()));
    if let Some(retry_after) = retry_after {
        metadata.insert(RETRY_AFTER_KEY, MetadataValue::from(retry_after.as_secs().max(1)));
    }
    Status::with_metadata(mapping(code).0, code.sentence(), metadata)
}

/// Returns the error code in a gRPC status. A status without one was not built by a service: it
/// comes from the connection, a deadline or a bug.
pub fn code_from_status(status: &Status) -> ErrorCode {
    let named = status
        .metadata()
        .get(CODE_KEY)
        .and_then(|name| name.to_str().ok())
        .and_then(ErrorCode::from_name);
    named.unwrap_or(match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::Aborted
        // A replica of an earlier version does not know the call.
        | Code::Unimplemented => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    })
}

/// Returns after how long the service wants a retry, if the status says so.
pub fn retry_after_from_status(status: &Status) -> Option<Duration> {
    let seconds = status.metadata().get(RETRY_AFTER_KEY)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns an error and all its sources on one line, for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
