//! Answers as JSON, and what a service's response must contain for one.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use parlance_core::ErrorCode;
use serde::Serialize;

use crate::error::ApiError;

/// An answer encoded as JSON. It is encoded in the handler because it borrows the users, which all
/// answers share.
pub(super) struct Encoded(pub(super) Bytes);

impl Encoded {
    /// Encodes an answer.
    pub(super) fn new(answer: &impl Serialize) -> Result<Self, ApiError> {
        let encoded = serde_json::to_vec(answer).map_err(|error| {
            tracing::error!(error = %error, "answer could not be encoded; sending internal_error");
            ErrorCode::Internal
        })?;
        Ok(Self(encoded.into()))
    }
}

impl IntoResponse for Encoded {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

/// Returns a part that the contract promises in a service's response.
pub(super) fn required<T>(part: Option<T>) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::contract_broken("a response lacks its main part"))
}
