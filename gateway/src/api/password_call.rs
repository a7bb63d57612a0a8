//! Calls of auth that hash a password.

use parlance_core::ErrorCode;
use tonic::{Response, Status};

use crate::app::App;
use crate::error::{ApiError, FieldError, LocSegment};
use crate::http::deadline::with_call_deadline;
use crate::limits::ClientAddress;

/// Makes a call that costs a hash, within the limit of the client's address. `wrong_field` returns
/// the field that is wrong when auth refuses with a code, if it is one that the gateway could not
/// judge. The answer then names the field, and the call does not count against the limit.
pub(super) async fn call_with_password<T>(
    app: &App,
    address: ClientAddress,
    wrong_field: impl FnOnce(ErrorCode) -> Option<FieldError>,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ApiError> {
    app.limits.take_log_in(address)?;
    let answer = with_call_deadline(app.config.password_deadline, call).await;
    answer.map(Response::into_inner).map_err(|status| {
        let error = ApiError::from(status);
        let Some(field) = wrong_field(error.code) else { return error };
        app.limits.give_back_log_in(address);
        ApiError::with_fields(ErrorCode::Validation, vec![field])
    })
}

/// The error of a password that is easy to guess, which auth refuses with `validation_error`.
pub(super) fn common_password(field: &'static str) -> impl FnOnce(ErrorCode) -> Option<FieldError> {
    move |code| {
        let loc = ["body", field].map(LocSegment::Name);
        let error = FieldError::new(loc, "value_error", "This password is too easy to guess");
        (code == ErrorCode::Validation).then_some(error)
    }
}

/// The error of a member that the account needs.
pub(super) fn missing(field: &'static str) -> FieldError {
    FieldError::new(["body", field].map(LocSegment::Name), "missing", "Field required")
}
