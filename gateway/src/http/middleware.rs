//! What is known of a request from outside: its id, its trace, its duration, its time limit.

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

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that is being answered, as it is measured and logged.
pub(crate) struct Observation {
    started: Instant,
    context: RequestContext,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    span: Span,
}

impl Observation {
    /// Begins with the request, which gets its id.
    pub(crate) fn begin(request: &Request, sampling: &Sampling) -> Self {
        let headers = request.headers();
        let request_id = request_id(headers);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let mut trace = sampling.of_request(headers);
        let span = trace.enter(|| describe(&request_id, &method, &uri, route.as_ref()));
        let context = RequestContext { request_id, trace, deadline: None };
        Self { started: Instant::now(), context, method, uri, route, span }
    }

    /// What handling the request stands in.
    pub(crate) fn context(&self) -> RequestContext {
        self.context.clone()
    }

    /// Ends with the answer, which gets the id. Only a failure of ours is worth a line of the log
    /// by default.
    pub(crate) fn end(self, durations: &RequestDurations, response: &mut Response) {
        let Self { started, context, method, uri, route, mut span } = self;
        let (status, duration) = (response.status(), started.elapsed());
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() && span.is_recorded() {
            span.fail(status.as_str().to_owned());
        }
        durations.record(&method, route.as_ref(), status, duration);
        if let Ok(value) = HeaderValue::from_str(&context.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if status.is_server_error() || tracing::enabled!(Level::DEBUG) {
            context.in_scope(|| log_answer(&method, uri.path(), status, duration));
        }
    }
}

/// A request as a step of its trace.
fn describe(
    request_id: &str,
    method: &Method,
    uri: &Uri,
    route: Option<&MatchedPath>,
) -> SpanBuilder {
    let method = method_name(method);
    let step = match route {
        Some(route) => {
            let route = route.as_str();
            SpanBuilder::server(format!("{method} {route}")).with("http.route", route.to_owned())
        }
        None => SpanBuilder::server(method),
    };
    step.with("http.request.method", method)
        .with("url.scheme", "http")
        .with("url.path", uri.path().to_owned())
        .with("parlance.request.id", request_id.to_owned())
}

fn log_answer(method: &Method, path: &str, status: StatusCode, duration: Duration) {
    let (status, duration_ms) = (status.as_u16(), duration.as_millis() as u64);
    if status >= 500 {
        tracing::warn!(http.request.method = %method, url.path = path, http.response.status_code = status, duration_ms, "a request failed");
    } else {
        tracing::debug!(http.request.method = %method, url.path = path, http.response.status_code = status, duration_ms, "answered a request");
    }
}

/// Runs a future in which every single call to a service may take as long as `limit`, and all
/// together twice as long.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    match RequestContext::current() {
        Some(context) => limited(context, limit).scope(future).await,
        None => future.await,
    }
}

/// The context in which the time for the answer runs from now on: no call to a service takes longer
/// than leaves time to answer.
pub(crate) fn limited(context: RequestContext, limit: Duration) -> RequestContext {
    RequestContext { deadline: Some(Instant::now() + 2 * limit), ..context }
}

/// The id that the client gave, if it is a sane one, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_sane(id)) {
        Some(id) => id.into(),
        None => new_id(),
    }
}

/// A random UUID, without a call of the system for each.
fn new_id() -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    Arc::from(&*id.hyphenated().encode_lower(&mut text))
}

fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// How long requests take, by route and outcome, named by OpenTelemetry's semantic conventions for
/// HTTP.
#[derive(Clone, Debug)]
pub(crate) struct RequestDurations {
    histogram: Histogram<f64>,
}

impl RequestDurations {
    pub(crate) fn new() -> Self {
        let histogram = global::meter("parlance")
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_boundaries(vec![
                0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
            ])
            .build();
        Self { histogram }
    }

    fn record(
        &self,
        method: &Method,
        route: Option<&MatchedPath>,
        status: StatusCode,
        duration: Duration,
    ) {
        let method = KeyValue::new("http.request.method", method_name(method));
        let status = KeyValue::new("http.response.status_code", i64::from(status.as_u16()));
        match route.map(|route| KeyValue::new("http.route", route.as_str().to_owned())) {
            Some(route) => self.histogram.record(duration.as_secs_f64(), &[method, status, route]),
            None => self.histogram.record(duration.as_secs_f64(), &[method, status]),
        }
    }
}

/// The method, of which clients can invent any number.
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

#[cfg(test)]
mod tests {
    use crate::http::middleware::is_sane;

    #[test]
    fn sane_ids_are_short_and_plain() {
        assert!(is_sane("a-Z_0.9") && is_sane(&"a".repeat(128)));
        for bad in ["", "a b", "a/b", "ä", "a\"b", &"a".repeat(129)] {
            assert!(!is_sane(bad), "{bad}");
        }
    }
}
