//! A client of one service with all its replicas.
//!
//! HTTP/2 keeps one connection, so a load balancer in between would pin all calls to one replica.
//! This client resolves the names of the service itself, keeps a connection to each address, and
//! sends calls to the replicas in turn. A replica that cannot be reached, or does not respond in
//! time, is ejected for a moment. A call is retried on another replica only where that is safe: if
//! the first replica has certainly not handled it, or if the method is idempotent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use parlance_core::ErrorCode;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{ConnectError, Extensions, Status};
use tower::{Service, ServiceExt};

use super::call_telemetry::{self, CallDurations};
use super::connect::Target;
use super::credential::Credential;
use super::replica_channel::Replica;
use super::resolver::resolve_forever;
use crate::Lifecycle;
use crate::config::addresses;
use crate::context::{REQUEST_ID_KEY, RequestContext};
use crate::error::{chain, status_from_code};
use crate::trace::{Span, SpanBuilder};

/// How many replicas are tried for one call.
const MAX_ATTEMPTS: usize = 3;

/// What a client needs to know of its service.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The name of the service, for logs.
    pub service: &'static str,
    /// Comma-separated `host:port`. A host with several addresses stands for as many replicas.
    pub addresses: String,
    /// The credential to present.
    pub credential: Credential,
    /// How long a call may take.
    pub deadline: Duration,
}

/// Calls one service, on any of its replicas. Cheap to clone. Give it to a generated client:
/// `AuthServiceClient::new(client.clone())`. Only for unary and server-streaming calls, whose
/// request is one message.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    service: &'static str,
    authorization: HeaderValue,
    replicas: watch::Receiver<Arc<[Replica]>>,
    /// Counts the calls, so that they go to the replicas in turn.
    turn: AtomicUsize,
    durations: CallDurations,
}

impl Client {
    /// Starts to resolve the addresses. Connections are made when first used. Fails if an address
    /// is no `host:port`.
    pub fn start(config: ClientConfig, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let addresses = addresses(&config.addresses).map_err(anyhow::Error::msg)?;
        let targets: anyhow::Result<Vec<_>> = addresses
            .split(',')
            .map(|name| Target::new(name.trim(), config.credential.tls()))
            .collect();

        let (sender, replicas) = watch::channel(Arc::default());
        lifecycle.spawn_task("resolver", resolve_forever(config.service, targets?, sender));
        let shared = Shared {
            service: config.service,
            authorization: config.credential.authorization()?,
            replicas,
            turn: AtomicUsize::new(rand::rng().random_range(0..1024)),
            durations: CallDurations::for_client(),
        };
        Ok(Self { shared: Arc::new(shared), deadline: config.deadline })
    }

    /// The same client with another deadline.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { shared: self.shared.clone(), deadline }
    }

    /// The replicas as they are now, and whenever they change. For callers that choose a replica
    /// themselves.
    pub fn replicas(&self) -> watch::Receiver<Arc<[Replica]>> {
        self.shared.replicas.clone()
    }

    /// Builds a request for a call made directly on a [`Replica`]'s channel, with the credential.
    pub fn authorize<T>(&self, message: T) -> tonic::Request<T> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, self.shared.authorization.clone())]);
        let metadata = MetadataMap::from_headers(headers);
        tonic::Request::from_parts(metadata, Extensions::default(), message)
    }

    /// Returns the next replica in turn that is not among `tried`. An ejected replica comes last.
    fn next_replica(&self, tried: &[SocketAddr]) -> Option<Replica> {
        let replicas = self.shared.replicas.borrow().clone();
        let start = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn =
            (0..replicas.len()).map(|offset| &replicas[(start + offset) % replicas.len()]);
        let untried = in_turn.filter(|replica| !tried.contains(&replica.address()));
        untried.min_by_key(|replica| replica.is_ejected()).cloned()
    }

    async fn call(
        &self,
        request: http::Request<Body>,
        context: Option<RequestContext>,
    ) -> Result<http::Response<Body>, Status> {
        let timeout = RequestContext::limit_nested_call(self.deadline);
        let deadline = Instant::now() + timeout;
        let (mut parts, body) = request.into_parts();
        self.set_headers(&mut parts.headers, timeout, context);
        let body: Bytes = body.collect().await?.to_bytes();
        let is_idempotent = parlance_proto::is_idempotent(parts.uri.path());

        let mut tried = Vec::new();
        while tried.len() < MAX_ATTEMPTS {
            let Some(replica) = self.next_replica(&tried) else { break };
            tried.push(replica.address());
            let body = Body::new(Full::new(body.clone()));
            let request = http::Request::from_parts(parts.clone(), body);
            // `oneshot` waits until the channel is ready, which a channel demands before a request.
            let result = timeout_at(deadline, replica.channel().oneshot(request)).await;
            if let Ok(Ok(response)) = result {
                return Ok(response);
            }
            // A replica that exceeds the deadline may hang. The next call goes to another one.
            replica.eject();
            let Ok(Err(error)) = result else { break };
            let (service, replica) = (self.shared.service, replica.address());
            tracing::debug!(service, %replica, error = chain(&error), "a call failed");
            if !is_idempotent && !was_not_handled(&error) {
                break;
            }
        }
        Err(status_from_code(ErrorCode::Unavailable, Some(Duration::from_secs(1))))
    }

    fn set_headers(
        &self,
        headers: &mut HeaderMap,
        timeout: Duration,
        context: Option<RequestContext>,
    ) {
        headers.insert(AUTHORIZATION, self.shared.authorization.clone());
        let timeout = HeaderValue::try_from(format!("{}m", timeout.as_millis().max(1)));
        if let (Ok(timeout), false) = (timeout, headers.contains_key("grpc-timeout")) {
            headers.insert(HeaderName::from_static("grpc-timeout"), timeout);
        }
        let Some(context) = context else { return };
        if let Ok(request_id) = HeaderValue::try_from(&*context.request_id) {
            headers.insert(HeaderName::from_static(REQUEST_ID_KEY), request_id);
        }
        context.trace.propagate(headers);
    }
}

impl Service<http::Request<Body>> for Client {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let client = self.clone();
        let uri = request.uri().clone();
        Box::pin(async move {
            let started = Instant::now();
            let mut context = RequestContext::current();
            let span = context.as_mut().map_or_else(Span::default, |context| {
                context.trace.enter(|| call_telemetry::describe(SpanBuilder::client, uri.path()))
            });
            let result = Self::call(&client, request, context).await;
            let code = match &result {
                Ok(response) => Status::from_header_map(response.headers())
                    .map_or(0, |status| status.code() as i32),
                Err(status) => status.code() as i32,
            };
            client.shared.durations.record(uri.path(), code, started.elapsed());
            call_telemetry::finish(span, code);
            result
        })
    }
}

/// True if the replica certainly has not handled the call: it could not be reached, or it was about
/// to stop and refused the call.
fn was_not_handled(error: &tonic::transport::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let was_canceled = error.downcast_ref().is_some_and(hyper::Error::is_canceled);
        if was_canceled
            || error.is::<ConnectError>()
            || error.downcast_ref().is_some_and(was_refused)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// True if the peer reports that it has not touched the stream (RFC 9113, 6.8 and 8.7). A GOAWAY
/// ends only those streams that the peer has not begun; the others go on, or break with the
/// connection, which is another error.
fn was_refused(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
            || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
}
