//! Calls of auth that hash a password.

use parlance_core::ErrorCode;
use tonic::{Response, Status};

use crate::app::App;
use crate::error::{ApiError, FieldError, LocSegment};
use crate::http::deadline::with_call_deadline;
use crate::limits::ClientAddress;

/// Makes a call that costs a hash, within the limit of the client's address. auth refuses with
/// `validation_error` a password that the gateway could not judge. The answer then names the field,
/// and the call does not count against the limit.
pub(super) async fn call_with_password<T>(
    app: &App,
    address: ClientAddress,
    refused_field: FieldError,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ApiError> {
    app.limits.take_log_in(address)?;
    let answer = with_call_deadline(app.config.password_deadline, call).await;
    answer.map(Response::into_inner).map_err(|status| {
        let error = ApiError::from(status);
        if error.code != ErrorCode::Validation {
            return error;
        }
        app.limits.give_back_log_in(address);
        ApiError::with_fields(ErrorCode::Validation, vec![refused_field])
    })
}

/// The error of a password that is easy to guess.
pub(super) fn common_password(field: &'static str) -> FieldError {
    let loc = ["body", field].map(LocSegment::Name);
    FieldError::new(loc, "value_error", "This password is too easy to guess")
}

/// The error of a member that the account needs.
pub(super) fn missing(field: &'static str) -> FieldError {
    FieldError::new(["body", field].map(LocSegment::Name), "missing", "Field required")
}
