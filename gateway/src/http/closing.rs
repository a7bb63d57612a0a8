//! Ends a TCP connection on which HTTP has ended: answers a head that hyper refused, and lets the
//! client read the last answer.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, ORIGIN};
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use parlance_core::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;
use crate::http::cors::CrossOrigin;
use crate::http::exchange::Ended;
use crate::http::observation::{Observation, REQUEST_ID};
use crate::http::security::protect;

/// The time for the last answer, and for what the client still sends.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The bytes that are read of what the client still sends.
const MAX_DISCARDED: u64 = 2 << 20;

/// Answers a head that is refused, if any, and closes the connection. If unread bytes were left,
/// the connection would end in a reset, and the client might lose the answer.
pub(super) async fn close(app: &App, mut ended: Ended, refused: Option<ErrorCode>) {
    let close = async {
        if let Some(code) = refused {
            let answer = encode(answer(app, code, &ended.head), app).await;
            ended.stream.write_all(&answer).await?;
            ended.stream.shutdown().await?;
        }
        discard(&mut ended.stream).await
    };
    if let Ok(Err(error)) = timeout(LINGER_TIMEOUT, close).await {
        tracing::debug!(error = %error, "connection lost while it was closed");
    }
    // It counts as one of the client's connections until here.
    drop(ended.permit);
}

async fn discard(stream: &mut TcpStream) -> std::io::Result<()> {
    tokio::io::copy(&mut stream.take(MAX_DISCARDED), &mut tokio::io::sink()).await.map(|_| ())
}

/// Makes the answer to a head of which only the beginning is known. It passes what every answer
/// passes.
fn answer(app: &App, code: ErrorCode, head: &[u8]) -> Response {
    let request = known_request(head);
    let observation = Observation::start(&request, &app.sampling);
    let refuse = || ApiError::from(code).into_response();
    let mut response = observation.context.clone().in_scope(refuse);
    CrossOrigin::new(&request).allow(&app.config.cors_allowed_origins, &mut response);
    // How the request came is not known.
    protect(&mut response, None);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    observation.finish(&app.durations, &mut response);
    response
}

/// Returns a request with the header fields that shape an error. Its method counts as unknown.
fn known_request(head: &[u8]) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::from_bytes(b"UNKNOWN").unwrap_or_default();
    for name in [ORIGIN, REQUEST_ID] {
        if let Some(value) = field(head, &name) {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

/// Finds a field in a head that may be malformed or incomplete.
fn field(head: &[u8], name: &HeaderName) -> Option<HeaderValue> {
    // What follows the last line end may be half a line.
    let complete = &head[..head.iter().rposition(|&byte| byte == b'\n')?];
    let fields = complete.split(|&byte| byte == b'\n').skip(1).map(<[u8]>::trim_ascii);
    let value = fields.take_while(|line| !line.is_empty()).find_map(|line| {
        let (field, value) = line.split_at_checked(name.as_str().len())?;
        field.eq_ignore_ascii_case(name.as_str().as_bytes()).then_some(value.strip_prefix(b":")?)
    })?;
    HeaderValue::from_bytes(value.trim_ascii()).ok()
}

/// Encodes an answer with its length and its date, as hyper would.
async fn encode(response: Response, app: &App) -> Vec<u8> {
    let (mut parts, body) = response.into_parts();
    // The body of an error is in memory.
    let body = body.collect().await.map_or(Bytes::new(), |body| body.to_bytes());
    let since_1970 = Duration::from_micros(app.clock.now().as_micros().max(0).unsigned_abs());
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_1970);
    if let Ok(date) = HeaderValue::from_str(&date) {
        parts.headers.insert(DATE, date);
    }
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));

    let mut answer = Vec::new();
    // Writing to a vector cannot fail.
    let _ = write!(answer, "HTTP/1.1 {}\r\n", parts.status);
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
#[path = "tests/closing.rs"]
mod tests;
