//! The one error of the REST handlers, and its shape in an answer.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use parlance_core::{ErrorCode, Violation};
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::{code_from_status, http_status, retry_after_from_status};
use serde::Serialize;
use utoipa::ToSchema;

/// When to try again, where nobody said.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    /// What is wrong with which field; only and always in an answer 422.
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal for the sake of some fields.
    pub(crate) fn of_fields(code: ErrorCode, fields: Vec<FieldError>) -> Self {
        Self { code, fields, retry_after: None }
    }

    /// An answer that breaks the contract between gateway and service, which only a mistake of ours
    /// explains.
    pub(crate) fn contract_broken(what: &'static str) -> Self {
        tracing::error!(what, "a service broke its contract");
        ErrorCode::Internal.into()
    }

    /// The code in the answer.
    #[cfg(test)]
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code, fields: Vec::new(), retry_after: None }
    }
}

impl From<tonic::Status> for ApiError {
    fn from(status: tonic::Status) -> Self {
        let code = code_from_status(&status);
        match code {
            ErrorCode::Internal => {
                tracing::error!(grpc.code = ?status.code(), error = status.message(), "a service failed");
            }
            ErrorCode::Unavailable => {
                tracing::warn!(grpc.code = ?status.code(), error = status.message(), "a service is unavailable");
            }
            _ => {}
        }
        Self { code, fields: Vec::new(), retry_after: retry_after_from_status(&status) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = http_status(self.code);
        let code = self.code.public_name();
        let mut response = if status == http::StatusCode::UNPROCESSABLE_ENTITY {
            let detail = if self.fields.is_empty() {
                vec![FieldError::of_body(self.code)]
            } else {
                self.fields
            };
            Json(FieldErrors { detail, code }).into_response()
        } else {
            let request_id =
                RequestContext::current().map(|context| context.request_id.to_string());
            let request_id = request_id.filter(|_| status.is_server_error());
            Json(ErrorBody { detail: self.code.sentence(), code, request_id }).into_response()
        };
        *response.status_mut() = status;

        let headers = response.headers_mut();
        if status == http::StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == http::StatusCode::UPGRADE_REQUIRED {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if matches!(self.code, ErrorCode::RateLimited | ErrorCode::Unavailable) {
            let retry_after = self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}

/// Why a request was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// A sentence for a person.
    detail: &'static str,
    /// A code for a program.
    code: &'static str,
    /// The id of the request, in an answer 5xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Which fields of a request break which rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldErrors {
    /// An entry for every field that is wrong.
    detail: Vec<FieldError>,
    /// A code for a program.
    code: &'static str,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where the field is: `body`, `query` or `path`, then its name, then perhaps an index.
    loc: Vec<SpanBuilder>,
    /// A sentence for a person. It never repeats what was sent.
    msg: Cow<'static, str>,
    /// The kind of rule, for a program.
    #[serde(rename = "type")]
    kind: &'static str,
}

/// One step on the way to a field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SpanBuilder {
    /// A member of an object.
    Name(&'static str),
    /// An element of a list.
    Index(usize),
}

impl FieldError {
    /// The field at `loc` is wrong in a way that has a name.
    pub(crate) fn new(
        loc: impl IntoIterator<Item = SpanBuilder>,
        kind: &'static str,
        msg: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { loc: loc.into_iter().collect(), msg: msg.into(), kind }
    }

    /// The text at `loc` breaks a rule.
    pub(crate) fn of_violation(
        loc: impl IntoIterator<Item = SpanBuilder>,
        violation: Violation,
    ) -> Self {
        let kind = match violation {
            Violation::TooShort { .. } => "string_too_short",
            Violation::TooLong { .. } => "string_too_long",
            Violation::Other(_) => "value_error",
        };
        Self::new(loc, kind, violation.to_string())
    }

    /// A service refused something that passed here.
    fn of_body(code: ErrorCode) -> Self {
        Self::new([SpanBuilder::Name("body")], "value_error", code.sentence())
    }
}
