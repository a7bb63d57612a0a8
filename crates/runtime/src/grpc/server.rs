//! The gRPC server of a service: credential, context and metrics around every call; health and
//! reflection beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use parlance_core::ErrorCode;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tower::{Layer, Service};

use super::credential::Credential;
use super::incoming::incoming;
use super::metrics::CallDurations;
use super::{REQUEST_ID_KEY, spans};
use crate::Lifecycle;
use crate::context::RequestContext;
use crate::error::status_from_code;
use crate::trace::SpanBuilder;

/// Bytes that a peer may send on a stream before it must wait for the reader: enough for batches of
/// messages.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves the routes of a service until the process drains, then finishes the calls that have
/// begun. Health (`grpc.health.v1`) and reflection are served, too. Every call must show the
/// credential.
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

    let draining = lifecycle.draining().clone();
    // An event must not wait for the acknowledgement of the one before it. The server's own setting
    // is not for such listeners.
    let tcp = TcpIncoming::from(listener).with_nodelay(Some(true));
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .layer(CallLayer::new(credential))
        .add_routes(routes.add_service(health).add_service(reflection));
    let drained = async move {
        draining.cancelled().await;
        health_reporter
            .set_service_status(service_name, tonic_health::ServingStatus::NotServing)
            .await;
    };
    let tls = credential.tls();
    lifecycle.spawn_background("grpc server", async move {
        match tls {
            None => router.serve_with_incoming_shutdown(tcp, drained).await?,
            Some(tls) => router.serve_with_incoming_shutdown(incoming(tcp, tls), drained).await?,
        }
        Ok(())
    });
    Ok(())
}

/// Wraps every call.
#[derive(Clone, Debug)]
struct CallLayer {
    /// One for each credential that is accepted.
    expected_authorizations: Arc<[SecretString]>,
    durations: CallDurations,
}

impl CallLayer {
    fn new(credential: &Credential) -> Self {
        Self {
            expected_authorizations: credential.accepted(),
            durations: CallDurations::of_server(),
        }
    }

    fn admits(&self, headers: &http::HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION) else { return false };
        let mut expected =
            self.expected_authorizations.iter().map(|expected| expected.expose_secret());
        expected.any(|expected| shown.as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallService { layer: self.clone(), inner }
    }
}

#[derive(Clone, Debug)]
struct CallService<S> {
    layer: CallLayer,
    inner: S,
}

impl<S> Service<http::Request<Body>> for CallService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !self.layer.admits(request.headers()) {
            tracing::warn!(
                rpc.method = request.uri().path(),
                "a call without the internal credential was refused"
            );
            let refusal = status_from_code(ErrorCode::Unauthenticated, None).into_http();
            return Box::pin(async move { Ok(refusal) });
        }

        let mut context = context_of(request.headers());
        let path = request.uri().clone();
        let span = context.trace.enter(|| spans::describe(SpanBuilder::server, path.path()));
        let durations = self.layer.durations.clone();
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let call = async move {
            let started = Instant::now();
            let response = inner.call(request).await?;
            let code = grpc_code(response.headers());
            durations.record(path.path(), code, started.elapsed());
            spans::finish(span, code);
            Ok(response)
        };
        Box::pin(context.scope(call))
    }
}

fn context_of(headers: &http::HeaderMap) -> RequestContext {
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

/// The gRPC code in the head of a response: that of a refusal; a call that was accepted has it in
/// its trailers, if it fails later, and counts as 0.
fn grpc_code(headers: &http::HeaderMap) -> i32 {
    headers
        .get("grpc-status")
        .and_then(|code| code.to_str().ok())
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_with_their_unit() {
        assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "S", "2", "2x", "999999999S", "-1S", "٣S"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
