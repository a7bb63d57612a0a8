//! The id, the trace, the duration and the log line of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::{Span, SpanBuilder};
use tokio::time::Instant;
use tracing::Level;
use uuid::Uuid;

use crate::http::sampling::Sampling;
use crate::metrics::METER;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The observation of a request, from its arrival to its answer.
pub(crate) struct Observation {
    started: Instant,
    /// The context in which the request is handled.
    pub(crate) context: RequestContext,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    span: Span,
}

impl Observation {
    /// Starts when a request arrives. Gives it an id and a trace.
    pub(crate) fn start(request: &Request, sampling: &Sampling) -> Self {
        let headers = request.headers();
        let request_id = request_id(headers);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let mut trace = sampling.for_request(headers);
        let span = trace.enter(|| describe(&request_id, &method, &uri, route.as_ref()));
        let context = RequestContext { request_id, trace, deadline: None };
        Self { started: Instant::now(), context, method, uri, route, span }
    }

    /// Finishes with the answer. Sets its request id, and logs it if it is a server error.
    pub(crate) fn finish(self, durations: &Histogram<f64>, response: &mut Response) {
        let Self { started, context, method, uri, route, mut span } = self;
        let (status, duration) = (response.status(), started.elapsed());
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() && span.is_recorded() {
            span.fail(status.as_str().to_owned());
        }
        record(durations, &method, route.as_ref(), status, duration);
        if let Ok(value) = HeaderValue::from_str(&context.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if status.is_server_error() || tracing::enabled!(Level::DEBUG) {
            context.in_scope(|| log_answer(&method, uri.path(), status, duration));
        }
    }
}

/// Describes the span of a request.
fn describe(
    request_id: &str,
    method: &Method,
    uri: &Uri,
    route: Option<&MatchedPath>,
) -> SpanBuilder {
    let method = method_name(method);
    let with_route = |route: &str| {
        SpanBuilder::server(format!("{method} {route}")).with("http.route", route.to_owned())
    };
    let span = route.map(MatchedPath::as_str).map(with_route);
    span.unwrap_or_else(|| SpanBuilder::server(method))
        .with("http.request.method", method)
        .with("url.scheme", "http")
        .with("url.path", uri.path().to_owned())
        .with("parlance.request.id", request_id.to_owned())
}

fn log_answer(method: &Method, path: &str, status: StatusCode, duration: Duration) {
    let (status, duration_ms) = (status.as_u16(), duration.as_millis() as u64);
    if status >= 500 {
        tracing::warn!(
            http.request.method = %method,
            url.path = path,
            http.response.status_code = status,
            duration_ms,
            "request failed",
        );
    } else {
        tracing::debug!(
            http.request.method = %method,
            url.path = path,
            http.response.status_code = status,
            duration_ms,
            "request answered",
        );
    }
}

/// Returns the id that the client gave, or a new one if that is missing or malformed.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_valid_id(id)) {
        Some(id) => id.into(),
        None => new_id(),
    }
}

/// Returns a random UUID. The generator makes no system call for each.
fn new_id() -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    Arc::from(&*id.hyphenated().encode_lower(&mut text))
}

fn is_valid_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Makes the histogram of the durations of requests, by route and status. Its names follow
/// OpenTelemetry's semantic conventions for HTTP.
pub(crate) fn request_durations() -> Histogram<f64> {
    global::meter(METER)
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .with_boundaries(vec![
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        ])
        .build()
}

fn record(
    durations: &Histogram<f64>,
    method: &Method,
    route: Option<&MatchedPath>,
    status: StatusCode,
    duration: Duration,
) {
    let method = KeyValue::new("http.request.method", method_name(method));
    let status = KeyValue::new("http.response.status_code", i64::from(status.as_u16()));
    match route.map(|route| KeyValue::new("http.route", route.as_str().to_owned())) {
        Some(route) => durations.record(duration.as_secs_f64(), &[method, status, route]),
        None => durations.record(duration.as_secs_f64(), &[method, status]),
    }
}

/// Returns the name of a known method. Clients can invent methods, which would make time series
/// without bound.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
