//! A client of one service with all its replicas.
//!
//! HTTP/2 keeps one connection, so a load balancer in between would pin all calls to one replica.
//! This client resolves the names of the service itself, keeps a connection to each address, and
//! sends calls to the replicas in turn. A replica that cannot be reached, or does not respond in
//! time, is ejected for a while. [`attempts`](super::attempts) says when a call is tried on another
//! replica.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use parlance_core::ErrorCode;
use rand::Rng;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};
use tower::Service;

use super::attempts::{Call, MAX_SECOND_ATTEMPTS};
use super::call_telemetry::{self, CallDurations};
use super::connect::Target;
use super::credential::Credential;
use super::replica_channel::Replica;
use super::resolver::resolve_forever;
use crate::Lifecycle;
use crate::config::addresses;
use crate::context::{REQUEST_ID_KEY, RequestContext};
use crate::error::status_from_code;
use crate::trace::{Span, SpanBuilder};

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
    /// Held by the second attempts of calls.
    second_attempts: Semaphore,
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
            second_attempts: Semaphore::new(MAX_SECOND_ATTEMPTS),
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

    /// Returns a replica that is not among `tried`, and true if the call finds out whether it
    /// answers again. Healthy replicas get the calls in turn, and after its ejection a replica gets
    /// one, if the call can be repeated. Where nothing else is left, ejected ones are tried.
    pub(super) fn next_replica(
        &self,
        tried: &[SocketAddr],
        is_idempotent: bool,
    ) -> Option<(Replica, bool)> {
        let replicas = self.shared.replicas.borrow().clone();
        let start = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let may_try = is_idempotent && tried.is_empty();
        let next = || {
            let in_turn =
                (0..replicas.len()).map(|offset| &replicas[(start + offset) % replicas.len()]);
            let untried = in_turn.filter(|replica| !tried.contains(&replica.address()));
            untried.min_by_key(|replica| replica.rank(may_try))
        };
        let replica = next()?;
        if replica.begin_trial() {
            return Some((replica.clone(), true));
        }
        // Another call may have begun the trial meanwhile.
        Some((next()?.clone(), false))
    }

    /// True if there is a replica that is not among `tried`.
    pub(super) fn has_replica(&self, tried: &[SocketAddr]) -> bool {
        let replicas = self.shared.replicas.borrow();
        replicas.iter().any(|replica| !tried.contains(&replica.address()))
    }

    pub(super) fn service(&self) -> &'static str {
        self.shared.service
    }

    async fn call(
        &self,
        request: http::Request<Body>,
        context: Option<RequestContext>,
    ) -> Result<http::Response<Body>, Status> {
        let deadline = Instant::now() + RequestContext::limit_nested_call(self.deadline);
        let (mut parts, body) = request.into_parts();
        self.set_headers(&mut parts.headers, context);
        let body: Bytes = body.collect().await?.to_bytes();
        let call = Call::new(self, parts, body, deadline);
        let answer = call.run(&self.shared.second_attempts).await;
        let unavailable = || status_from_code(ErrorCode::Unavailable, Some(Duration::from_secs(1)));
        answer.ok_or_else(unavailable)
    }

    fn set_headers(&self, headers: &mut HeaderMap, context: Option<RequestContext>) {
        headers.insert(AUTHORIZATION, self.shared.authorization.clone());
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
