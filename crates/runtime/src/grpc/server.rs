//! The gRPC server of a service: it checks the credential of every call, sets the context and
//! records metrics. It also serves health and reflection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use parlance_core::ErrorCode;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use super::call_telemetry::{self, CallDurations};
use super::credential::Credential;
use super::tls_incoming::tls_incoming;
use crate::Lifecycle;
use crate::context::{REQUEST_ID_KEY, RequestContext};
use crate::error::status_from_code;
use crate::trace::SpanBuilder;

/// The most bytes that a peer sends on a stream before the reader catches up: enough for a batch of
/// messages.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves the routes of a service, health (`grpc.health.v1`) and reflection until the process
/// drains, then finishes the calls that have begun. Every call must present the credential.
pub async fn serve(
    listen: SocketAddr,
    credential: &Credential,
    service_name: &'static str,
    routes: Routes,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (GRPC_LISTEN)"))?;
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status(service_name, tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(parlance_proto::DESCRIPTORS)
        .build_v1()?;

    let calls = Calls {
        accepted_authorizations: credential.accepted(),
        durations: CallDurations::for_server(),
    };
    let router = routes.add_service(health).add_service(reflection).into_axum_router();
    let draining = lifecycle.draining().clone();
    // Without `nodelay` an event waits for the acknowledgement of the event before it. The setting
    // of `Server` does not apply to a given listener.
    let tcp = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_routes(router.layer(middleware::from_fn_with_state(calls, handle)).into());
    let drained = async move {
        draining.cancelled().await;
        health_reporter
            .set_service_status(service_name, tonic_health::ServingStatus::NotServing)
            .await;
    };
    let tls = credential.tls();
    lifecycle.spawn_background("grpc server", async move {
        match tls {
            None => server.serve_with_incoming_shutdown(tcp, drained).await?,
            Some(tls) => {
                server.serve_with_incoming_shutdown(tls_incoming(tcp, tls), drained).await?
            }
        }
        Ok(())
    });
    Ok(())
}

/// What the handling of every call needs. Cheap to clone.
#[derive(Clone, Debug)]
struct Calls {
    /// The `authorization` entries of which a call must carry one.
    accepted_authorizations: Arc<[SecretString]>,
    durations: CallDurations,
}

impl Calls {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(presented) = headers.get(AUTHORIZATION) else { return false };
        let is_equal = |accepted: &SecretString| {
            presented.as_bytes().ct_eq(accepted.expose_secret().as_bytes()).into()
        };
        self.accepted_authorizations.iter().any(is_equal)
    }
}

/// Checks the credential of a call, and handles it in its context.
async fn handle(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    if !calls.admits(request.headers()) {
        let method = request.uri().path();
        tracing::warn!(rpc.method = method, "refused a call without the internal token");
        return status_from_code(ErrorCode::Unauthenticated, None).into_http();
    }
    let started = Instant::now();
    let uri = request.uri().clone();
    let mut context = context_from_headers(request.headers());
    let span = context.trace.enter(|| call_telemetry::describe(SpanBuilder::server, uri.path()));
    let response = context.scope(next.run(request)).await;
    let code = grpc_code(response.headers());
    calls.durations.record(uri.path(), code, started.elapsed());
    call_telemetry::finish(span, code);
    response
}

fn context_from_headers(headers: &HeaderMap) -> RequestContext {
    let request_id = headers.get(REQUEST_ID_KEY).and_then(|id| id.to_str().ok()).unwrap_or("-");
    let timeout = headers
        .get("grpc-timeout")
        .and_then(|timeout| timeout.to_str().ok())
        .and_then(parse_timeout);
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    RequestContext { deadline, ..RequestContext::with_headers(request_id, headers) }
}

/// Parses a `grpc-timeout`: up to eight digits and a unit
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Returns the gRPC code in the headers of a response. A call that fails after its first response
/// has the code in its trailers, and counts as 0.
fn grpc_code(headers: &HeaderMap) -> i32 {
    headers
        .get("grpc-status")
        .and_then(|code| code.to_str().ok())
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
#[path = "tests/server.rs"]
mod tests;
