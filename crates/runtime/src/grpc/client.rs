//! A client of one service with all its replicas.
//!
//! HTTP/2 keeps one connection, so a load balancer in between would pin all calls to one replica.
//! This client resolves the names it is given itself, again and again, keeps a connection to each
//! address, and takes them in turn. A replica that cannot be reached, or did not answer in time, is
//! passed over for a moment. A call is repeated on another replica only where that is safe: when
//! the first one has certainly not handled it, or when the method is idempotent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use parlance_core::ErrorCode;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{ConnectError, Status};
use tower::{Service, ServiceExt};

use super::connect::Target;
use super::credential::Credential;
use super::metrics::CallDurations;
use super::{REQUEST_ID_KEY, spans};
use crate::Lifecycle;
use crate::config::addresses;
use crate::context::RequestContext;
use crate::error::status_from_code;
use crate::trace::{Span, SpanBuilder};

/// How often names are resolved anew.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a replica that could not be reached, or did not answer in time, is passed over.
const PASS_OVER_TIME: Duration = Duration::from_millis(500);
/// How many replicas are tried for one call.
const MAX_ATTEMPTS: usize = 3;

/// What a client needs to know of its service.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The name of the service, for logs.
    pub service: &'static str,
    /// Comma-separated `host:port`; a host with several addresses stands for as many replicas.
    pub addresses: String,
    /// What the service demands.
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
    turn: AtomicUsize,
    durations: CallDurations,
}

/// One replica of a service.
#[derive(Clone, Debug)]
pub struct Replica {
    address: SocketAddr,
    channel: Channel,
    /// Milliseconds on [`monotonic_ms`] until which this replica is passed over.
    passed_over_until_ms: Arc<AtomicU64>,
}

impl Client {
    /// Starts resolving the addresses and connects when first used. Fails when an address is no
    /// `host:port`.
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
            authorization: config.credential.shown()?,
            replicas,
            turn: AtomicUsize::new(rand::rng().random_range(0..1024)),
            durations: CallDurations::of_client(),
        };
        Ok(Self { shared: Arc::new(shared), deadline: config.deadline })
    }

    /// The same client with another deadline.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { shared: self.shared.clone(), deadline }
    }

    /// The replicas as they are now and whenever they change; for callers that choose themselves.
    pub fn replicas(&self) -> watch::Receiver<Arc<[Replica]>> {
        self.shared.replicas.clone()
    }

    /// A request for a call made directly on a [`Replica`]'s channel, with the credential.
    pub fn authorize<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(text) = self.shared.authorization.to_str()
            && let Ok(value) = text.parse()
        {
            request.metadata_mut().insert(AUTHORIZATION.as_str(), value);
        }
        request
    }

    /// The next replica in turn, preferring those that were not found to be away just now and
    /// leaving out `tried`.
    fn next_replica(&self, tried: &[SocketAddr]) -> Option<Replica> {
        let replicas = self.shared.replicas.borrow().clone();
        let start = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn =
            (0..replicas.len()).map(|offset| &replicas[(start + offset) % replicas.len()]);
        let untried = in_turn.filter(|replica| !tried.contains(&replica.address));
        untried.min_by_key(|replica| replica.is_passed_over()).cloned()
    }

    async fn call(
        &self,
        request: http::Request<Body>,
        context: Option<RequestContext>,
    ) -> Result<http::Response<Body>, Status> {
        let limit = RequestContext::limit_nested_call(self.deadline);
        let deadline = Instant::now() + limit;
        let (mut head, body) = request.into_parts();
        self.set_headers(&mut head.headers, limit, context);
        let body: Bytes = body.collect().await?.to_bytes();
        let may_repeat = parlance_proto::is_idempotent(head.uri.path());

        let mut tried = Vec::new();
        while tried.len() < MAX_ATTEMPTS {
            let Some(mut replica) = self.next_replica(&tried) else { break };
            tried.push(replica.address);
            let request =
                http::Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            // A channel takes a request only after it was asked whether it is ready, which
            // `oneshot` does.
            let attempt = replica.channel.clone().oneshot(request);
            match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let (service, error_text) = (self.shared.service, crate::error::chain(&error));
                    tracing::debug!(service, replica = %replica.address, error = error_text, "a replica could not be reached");
                    replica.pass_over();
                    if !may_repeat && !was_not_handled(&error) {
                        break;
                    }
                }
                Err(_) => {
                    // It may hang: the next call does better elsewhere.
                    replica.pass_over();
                    break;
                }
            }
        }
        Err(status_from_code(ErrorCode::Unavailable, Some(Duration::from_secs(1))))
    }

    fn set_headers(
        &self,
        headers: &mut http::HeaderMap,
        limit: Duration,
        context: Option<RequestContext>,
    ) {
        headers.insert(AUTHORIZATION, self.shared.authorization.clone());
        let timeout = HeaderValue::try_from(format!("{}m", limit.as_millis().max(1)));
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
        let method = request.uri().clone();
        Box::pin(async move {
            let started = Instant::now();
            let mut context = RequestContext::current();
            let span = context.as_mut().map_or_else(Span::default, |context| {
                context.trace.enter(|| spans::describe(SpanBuilder::client, method.path()))
            });
            let result = Self::call(&client, request, context).await;
            let code = match &result {
                Ok(response) => Status::from_header_map(response.headers())
                    .map_or(0, |status| status.code() as i32),
                Err(status) => status.code() as i32,
            };
            client.shared.durations.record(method.path(), code, started.elapsed());
            spans::finish(span, code);
            result
        })
    }
}

impl Replica {
    fn new(address: SocketAddr, target: &Target) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            channel: target.channel(address)?,
            passed_over_until_ms: Arc::default(),
        })
    }

    /// Where it is; the name by which replicas are told apart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection to it, made when first used and again when lost.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn is_passed_over(&self) -> bool {
        self.passed_over_until_ms.load(Ordering::Relaxed) > monotonic_ms()
    }

    fn pass_over(&mut self) {
        let until = monotonic_ms() + PASS_OVER_TIME.as_millis() as u64;
        self.passed_over_until_ms.store(until, Ordering::Relaxed);
    }
}

/// Milliseconds since the first call.
fn monotonic_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}

async fn resolve_forever(
    service: &'static str,
    targets: Vec<Target>,
    replicas: watch::Sender<Arc<[Replica]>>,
) -> anyhow::Result<()> {
    let mut known: BTreeMap<SocketAddr, Replica> = BTreeMap::new();
    loop {
        let found = resolve(service, &targets).await;
        let is_changed = !found.is_empty() && !found.keys().eq(known.keys());
        if is_changed {
            known = found
                .into_iter()
                .filter_map(|(address, target)| match known.remove(&address) {
                    Some(replica) => Some((address, replica)),
                    None => Replica::new(address, target).ok().map(|replica| (address, replica)),
                })
                .collect();
            tracing::info!(
                service,
                replicas = known.len(),
                "the replicas of a service have changed"
            );
            replicas.send_replace(known.values().cloned().collect());
        }
        tokio::time::sleep(RESOLVE_INTERVAL).await;
    }
}

/// The addresses behind the targets, in order. A name that cannot be resolved right now contributes
/// nothing; when none can, the caller keeps what it knew.
async fn resolve<'a>(
    service: &'static str,
    targets: &'a [Target],
) -> BTreeMap<SocketAddr, &'a Target> {
    let mut found = BTreeMap::new();
    for target in targets {
        let name = &target.name;
        match tokio::time::timeout(RESOLVE_INTERVAL, tokio::net::lookup_host(name)).await {
            Ok(Ok(addresses)) => found.extend(addresses.map(|address| (address, target))),
            Ok(Err(error)) => {
                tracing::warn!(service, name, error = %error, "a name could not be resolved")
            }
            Err(_) => tracing::warn!(service, name, "a name could not be resolved in time"),
        }
    }
    found
}

/// Whether the replica certainly has not handled the call: it could not be reached, or it was about
/// to stop and said so.
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

/// Whether the peer says that it has not touched the stream (RFC 9113, 6.8 and 8.7). A GOAWAY ends
/// only those streams that the peer has not begun; the others go on, or break with the connection,
/// which is another error.
fn was_refused(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
            || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
}
