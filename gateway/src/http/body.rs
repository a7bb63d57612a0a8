//! Reads the body of a request before the request is answered.
//!
//! If an answer leaves a body unread, the connection ends in a reset and the client may never see
//! the answer. So every body is read, whatever the answer. What is too large is discarded.

use std::sync::Arc;
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

use crate::app::App;
use crate::error::ApiError;
use crate::limits::{ClientAddress, InputShare};

/// The largest body that is kept, in bytes.
const MAX_KEPT: usize = 64 << 10;
/// The bytes that are read of a body at most.
const MAX_READ: usize = 2 << 20;
/// The time in which a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request, as an extension of it.
#[derive(Clone)]
pub(crate) struct BufferedBody {
    /// The error is that it was too large, or that there was no memory for it.
    body: Result<Bytes, ErrorCode>,
    /// Counts the body while the request has it.
    _share: Arc<InputShare>,
}

impl BufferedBody {
    /// Returns the body of a request, or why it was not kept.
    pub(crate) fn from_parts(parts: &Parts) -> Result<Bytes, ErrorCode> {
        parts.extensions.get().map_or(Ok(Bytes::new()), |buffered: &Self| buffered.body.clone())
    }

    async fn read(mut body: Body, mut share: InputShare) -> Result<Self, ErrorCode> {
        let mut kept = BytesMut::new();
        let mut length = 0;
        let mut refused = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ErrorCode::BadRequest)?.into_data() else { continue };
            length += data.len();
            if length > MAX_READ {
                refused = Some(ErrorCode::PayloadTooLarge);
                break;
            }
            if refused.is_none() {
                refused = keep(&mut kept, &data, &mut share).err();
            }
        }
        let body = refused.map_or_else(|| Ok(kept.freeze()), Err);
        Ok(Self { body, _share: Arc::new(share) })
    }
}

/// Adds data to a body. If there is no room for it, nothing more is kept.
fn keep(kept: &mut BytesMut, data: &[u8], share: &mut InputShare) -> Result<(), ErrorCode> {
    let length = kept.len() + data.len();
    let has_room =
        if length > MAX_KEPT { Err(ErrorCode::PayloadTooLarge) } else { share.grow_to(length) };
    match has_room {
        Ok(()) => kept.extend_from_slice(data),
        Err(_) => {
            *kept = BytesMut::new();
            share.clear();
        }
    }
    has_room
}

/// Replaces the body by a [`BufferedBody`]. Returns the answer if the body cannot be read.
pub(crate) async fn buffer(app: &App, request: &mut Request) -> Result<(), Response> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let body = std::mem::take(request.body_mut());
    let Some(&address) = request.extensions().get::<ClientAddress>() else {
        return Err(ApiError::contract_broken("request without an address").into_response());
    };
    let reading = BufferedBody::read(body, app.input_limits.share_of_client(address));
    let in_time = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    let body = in_time.unwrap_or(Err(ErrorCode::RequestTimeout)).map_err(|code| {
        // The next request on this connection cannot be distinguished from the rest of the body.
        let mut response = ApiError::from(code).into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    })?;
    request.extensions_mut().insert(body);
    Ok(())
}
