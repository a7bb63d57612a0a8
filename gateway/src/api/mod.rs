//! The REST handlers, a file for each service behind them: read the input, make the calls, join
//! users into the answer.

pub(crate) mod auth;
pub(crate) mod contacts;
pub(crate) mod docs;
pub mod dto;
pub(crate) mod extract;
pub(crate) mod health;
pub(crate) mod input;
pub(crate) mod messages;
pub(crate) mod openapi;
pub(crate) mod rooms;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use parlance_core::ErrorCode;
use serde::Serialize;

use crate::error::ApiError;

/// An answer as JSON, encoded from what it borrows: users are shared by all answers that name them.
struct Encoded(Bytes);

impl Encoded {
    fn of(answer: &impl Serialize) -> Result<Self, ApiError> {
        let encoded = serde_json::to_vec(answer).map_err(|error| {
            tracing::error!(error = %error, "an answer could not be encoded");
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

/// A message that a service must always fill in.
fn present<T>(part: Option<T>) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::contract_broken("an answer misses its main part"))
}
