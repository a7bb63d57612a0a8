//! The one table between error codes, gRPC and HTTP, and the way of an error through a gRPC answer.
//!
//! A service answers with a [`Status`] made by [`status`]; the code itself rides in the metadata
//! entry `parlance-error`, and [`code_from_status`] reads it on the other side. Nobody else builds a
//! `Status`.

use std::time::Duration;

use http::StatusCode;
use parlance_core::ErrorCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

const CODE_KEY: &str = "parlance-error";
const RETRY_AFTER_KEY: &str = "retry-after";

/// An error of a service that knows its place in the table.
pub trait Coded: std::error::Error {
    /// The code for the caller.
    fn code(&self) -> ErrorCode;

    /// After how long it makes sense to try again, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The gRPC code and the HTTP status of an error code.
pub const fn mapping(code: ErrorCode) -> (Code, StatusCode) {
    use ErrorCode::*;
    match code {
        Validation | ContentInvalid => (Code::InvalidArgument, StatusCode::UNPROCESSABLE_ENTITY),
        UsernameTaken | AlreadyContacts | AlreadyInvited => {
            (Code::AlreadyExists, StatusCode::BAD_REQUEST)
        }
        SelfInvitation => (Code::FailedPrecondition, StatusCode::BAD_REQUEST),
        InvalidCredentials | Unauthenticated | InvalidToken | InactiveUser | TokenExpired => {
            (Code::Unauthenticated, StatusCode::UNAUTHORIZED)
        }
        UserNotFound | InvitationNotFound | RoomNotFound | MemberNotFound | MessageNotFound
        | NotFound => (Code::NotFound, StatusCode::NOT_FOUND),
        NotAMember | SystemRoom | NotTheOwner | OwnerCannotLeave | NotTheSender
        | OriginNotAllowed => (Code::PermissionDenied, StatusCode::FORBIDDEN),
        MethodNotAllowed => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
        UnsupportedMediaType => (Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        PayloadTooLarge => (Code::InvalidArgument, StatusCode::PAYLOAD_TOO_LARGE),
        RequestTimeout => (Code::Aborted, StatusCode::REQUEST_TIMEOUT),
        BadRequest | InvalidJson | InvalidFrame | UnknownType => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST)
        }
        UpgradeRequired => (Code::InvalidArgument, StatusCode::UPGRADE_REQUIRED),
        RateLimited => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
        Unavailable => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The HTTP status of an error code.
pub const fn http_status(code: ErrorCode) -> StatusCode {
    mapping(code).1
}

/// The gRPC answer for an error. What went wrong inside is logged here, once, and does not leave
/// the process.
pub fn status(error: &dyn Coded) -> Status {
    let code = error.code();
    match code {
        ErrorCode::Internal => {
            tracing::error!(error = chain(error), "a request failed by a mistake of ours")
        }
        ErrorCode::Unavailable => {
            tracing::warn!(error = chain(error), "a request failed for want of something")
        }
        _ => tracing::debug!(error.code = code.name(), "a request was refused"),
    }
    status_from_code(code, error.retry_after())
}

/// The gRPC answer for a bare code.
pub fn status_from_code(code: ErrorCode, retry_after: Option<Duration>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE_KEY, MetadataValue::from_static(code.name()));
    if let Some(retry_after) = retry_after {
        metadata.insert(RETRY_AFTER_KEY, MetadataValue::from(retry_after.as_secs().max(1)));
    }
    Status::with_metadata(mapping(code).0, code.sentence(), metadata)
}

/// The error code in a gRPC answer. An answer without one did not come from a service of ours: the
/// connection, a deadline or a mistake made it.
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
        | Code::Aborted => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    })
}

/// After how long the answering service wants to be asked again, if it said so.
pub fn retry_after_from_status(status: &Status) -> Option<Duration> {
    let seconds = status.metadata().get(RETRY_AFTER_KEY)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error and all its sources on one line, for a log.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_grpc() {
        for &code in ErrorCode::ALL {
            let status = status_from_code(code, Some(Duration::from_secs(3)));
            assert_eq!(code_from_status(&status), code);
            assert_eq!(retry_after_from_status(&status), Some(Duration::from_secs(3)));
        }
    }

    #[test]
    fn every_code_is_an_error_in_grpc_and_in_http() {
        for &code in ErrorCode::ALL {
            let (grpc, http) = mapping(code);
            assert_ne!(grpc, Code::Ok);
            assert!(http.is_client_error() || http.is_server_error());
        }
    }

    #[test]
    fn the_documentation_lists_every_code_with_its_mapping() {
        let page = include_str!("../../../docs/errors.md");
        for &code in ErrorCode::ALL {
            let (grpc, http) = mapping(code);
            let row = format!("| `{}` | {} | {grpc:?} | ", code.name(), http.as_u16());
            assert!(page.contains(&row), "docs/errors.md has no row {row}");
        }
    }

    #[test]
    fn a_lost_connection_is_unavailable_and_anything_unknown_internal() {
        assert_eq!(code_from_status(&Status::unavailable("")), ErrorCode::Unavailable);
        assert_eq!(code_from_status(&Status::deadline_exceeded("")), ErrorCode::Unavailable);
        assert_eq!(code_from_status(&Status::unknown("")), ErrorCode::Internal);
    }
}
