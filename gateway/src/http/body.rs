//! Reads the body of a request before the request is answered.
//!
//! If an answer leaves a body unread, the connection ends in a reset and the client may never see
//! the answer. So every body is read, whatever the answer. What is too large is discarded.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONNECTION;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use parlance_core::ErrorCode;

use crate::error::ApiError;

/// The largest body that is kept, in bytes.
const MAX_KEPT: usize = 64 << 10;
/// The bytes that are read of a body at most.
const MAX_READ: usize = 2 << 20;
/// The time in which a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request, as an extension of it. The error is that it was too large.
#[derive(Clone)]
pub(crate) struct BufferedBody(Result<Bytes, ErrorCode>);

impl BufferedBody {
    /// Returns the body of a request, or an error if it was too large.
    pub(crate) fn from_parts(parts: &Parts) -> Result<Bytes, ErrorCode> {
        parts.extensions.get().map_or(Ok(Bytes::new()), |Self(body)| body.clone())
    }

    async fn read(mut body: Body) -> Result<Self, ErrorCode> {
        let mut kept = BytesMut::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ErrorCode::BadRequest)?.into_data() else { continue };
            length += data.len();
            if length > MAX_READ {
                break;
            }
            if length <= MAX_KEPT {
                kept.extend_from_slice(&data);
            }
        }
        let is_kept = length <= MAX_KEPT;
        Ok(Self(if is_kept { Ok(kept.freeze()) } else { Err(ErrorCode::PayloadTooLarge) }))
    }
}

/// Replaces the body by a [`BufferedBody`]. Returns the answer if the body cannot be read.
pub(crate) async fn buffer(request: &mut Request) -> Result<(), Response> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let body = std::mem::take(request.body_mut());
    let in_time = tokio::time::timeout(BODY_TIMEOUT, BufferedBody::read(body)).await;
    let body = in_time.unwrap_or(Err(ErrorCode::RequestTimeout)).map_err(|code| {
        // The next request on this connection cannot be distinguished from the rest of the body.
        let mut response = ApiError::from(code).into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    })?;
    request.extensions_mut().insert(body);
    Ok(())
}
