//! What is known of a request from outside: its id, its trace, its duration, its time limit.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};
use parlance_runtime::context::RequestContext;
use parlance_runtime::telemetry::continue_trace;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware around everything: gives the request its id and its span, returns the id, measures and logs.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!(
        "request",
        request.id = &*request_id,
        trace.id = tracing::field::Empty,
        http.request.method = %method,
        url.path = request.uri().path(),
    );
    continue_trace(&span, request.headers());

    let context = RequestContext { request_id: request_id.clone(), deadline: None };
    let handling = async {
        let response = context.scope(next.run(request)).await;
        let (status, duration_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
        tracing::info!(http.response.status_code = status, duration_ms, "answered a request");
        response
    };
    let mut response = handling.instrument(span).await;

    app.durations.record(&method, route.as_ref(), response.status(), started.elapsed());
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Middleware right around the handlers: from here on the time for the answer runs, and no call to a service takes longer than
/// leaves time to answer.
pub(crate) async fn limit_time(State(app): State<App>, request: Request, next: Next) -> Response {
    within(app.config.upstream_deadline, next.run(request)).await
}

/// Runs a future in which every single call to a service may take as long as `limit`, and all together twice as long.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    let deadline = Some(Instant::now() + 2 * limit);
    match RequestContext::current() {
        Some(context) => RequestContext { deadline, ..context }.scope(future).await,
        None => future.await,
    }
}

/// The id that the client gave, if it is a sane one, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_sane(id)) {
        Some(id) => id.into(),
        None => Uuid::new_v4().to_string().into(),
    }
}

fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// How long requests take, by route and outcome, named by OpenTelemetry's semantic conventions for HTTP.
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

    fn record(&self, method: &Method, route: Option<&MatchedPath>, status: StatusCode, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new("http.request.method", method_name(method)),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.as_str().to_owned())));
        self.histogram.record(duration.as_secs_f64(), &attributes);
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
    use super::is_sane;

    #[test]
    fn sane_ids_are_short_and_plain() {
        assert!(is_sane("a-Z_0.9") && is_sane(&"a".repeat(128)));
        for bad in ["", "a b", "a/b", "ä", "a\"b", &"a".repeat(129)] {
            assert!(!is_sane(bad), "{bad}");
        }
    }
}
