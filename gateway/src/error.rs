//! The error of the REST endpoints and its JSON.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE};
use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::{code_from_status, http_status, retry_after_from_status};
use serde::Serialize;
use utoipa::ToSchema;

/// The `Retry-After` of an error for which the service gave none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The reason why a request failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: ErrorCode,
    /// The wrong fields. Only an answer with status 422 shows them.
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// Makes an error about fields.
    pub(crate) fn with_fields(code: ErrorCode, fields: Vec<FieldError>) -> Self {
        Self { code, fields, retry_after: None }
    }

    /// Makes an error after which the client should wait before it tries again.
    pub(crate) fn with_retry_after(code: ErrorCode, retry_after: Duration) -> Self {
        Self { code, fields: Vec::new(), retry_after: Some(retry_after) }
    }

    /// Makes the error for a response that breaks the contract between gateway and service. Only a
    /// bug explains it.
    pub(crate) fn contract_broken(what: &'static str) -> Self {
        tracing::error!(what, "service broke its contract; answering internal_error");
        ErrorCode::Internal.into()
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
        let (grpc_code, error) = (status.code(), status.message());
        match code {
            ErrorCode::Internal => {
                tracing::error!(grpc.code = ?grpc_code, error, "call to a service failed");
            }
            ErrorCode::Unavailable => {
                tracing::warn!(grpc.code = ?grpc_code, error, "service is unavailable");
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
            let mut detail = self.fields;
            if detail.is_empty() {
                // The request passed the checks here, and a service refused it.
                let loc = [LocSegment::Name("body")];
                detail.push(FieldError::new(loc, "value_error", self.code.sentence()));
            }
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
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if matches!(self.code, ErrorCode::RateLimited | ErrorCode::Unavailable) {
            let retry_after = self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}

/// Why a request failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// A sentence for people.
    detail: &'static str,
    /// A code for programs.
    code: &'static str,
    /// The id of the request, in an answer with a status 5xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// The fields of a request that break a rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldErrors {
    /// An entry for each wrong field.
    detail: Vec<FieldError>,
    /// A code for programs.
    code: &'static str,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The place of the field: `body`, `query` or `path`, then the name, then the index if any.
    loc: Vec<LocSegment>,
    /// A sentence for people. It never repeats what was sent.
    msg: Cow<'static, str>,
    /// The broken rule, for programs.
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A segment of the place of a field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LocSegment {
    /// The name of an object's member.
    Name(&'static str),
    /// The index of a list's element.
    Index(usize),
}

impl FieldError {
    /// Makes an entry for the field at `loc`.
    pub(crate) fn new(
        loc: impl IntoIterator<Item = LocSegment>,
        kind: &'static str,
        msg: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { loc: loc.into_iter().collect(), msg: msg.into(), kind }
    }
}
