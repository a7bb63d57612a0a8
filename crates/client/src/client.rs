//! Sends requests to gateways.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep, timeout};

use crate::{Error, Request, Response};

/// Time between two attempts of [`Client::send_until_answered`].
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// How a [`Client`] connects.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds one call, from connecting to the last byte of the response.
    pub timeout: Duration,
    /// Bounds [`Client::send_until_answered`].
    pub retry_timeout: Duration,
    /// Addresses of this machine that calls come from, in turn; empty for the usual one. A gateway
    /// limits the rate of calls per address.
    pub local_addresses: Vec<Ipv4Addr>,
    /// False if each call opens a connection of its own.
    pub reuses_connections: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(60),
            local_addresses: Vec::new(),
            reuses_connections: true,
        }
    }
}

/// A client of one or more gateways. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    gateways: Vec<SocketAddr>,
    /// One for each local address.
    connections: Vec<HttpClient<HttpConnector, Full<Bytes>>>,
    options: Options,
    /// The number of calls so far; picks the gateway and the local address of the next one.
    calls: AtomicUsize,
}

impl Client {
    /// A client of one gateway, with the default options.
    pub fn new(gateway: SocketAddr) -> Self {
        Self::with_options([gateway], Options::default())
    }

    /// A client that sends its calls to these gateways in turn.
    ///
    /// # Panics
    /// If there is no gateway.
    pub fn with_options(gateways: impl Into<Vec<SocketAddr>>, options: Options) -> Self {
        let gateways = gateways.into();
        assert!(!gateways.is_empty(), "a client needs a gateway");
        let connections = match options.local_addresses.as_slice() {
            [] => vec![connections_from(None, &options)],
            addresses => addresses.iter().map(|it| connections_from(Some(*it), &options)).collect(),
        };
        Self(Arc::new(Inner { gateways, connections, options, calls: AtomicUsize::new(0) }))
    }

    /// The gateways.
    pub fn gateways(&self) -> &[SocketAddr] {
        &self.0.gateways
    }

    /// Sends a request to the next gateway. Returns the response, whatever its status is.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let Inner { gateways, connections, options, calls } = &*self.0;
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let request = request.into_http(gateways[call % gateways.len()])?;
        let exchange = async {
            let connections = &connections[call % connections.len()];
            let response = connections
                .request(request)
                .await
                .map_err(|error| Error::Connection(error.into()))?;
            let (head, body) = response.into_parts();
            let body =
                body.collect().await.map_err(|error| Error::Connection(error.into()))?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            Ok(Response { status: head.status, headers: head.headers, text })
        };
        let exchanged = timeout(options.timeout, exchange).await;
        exchanged.unwrap_or(Err(Error::Timeout(options.timeout)))
    }

    /// Sends a request again and again until its response is neither 5xx nor 429.
    ///
    /// Returns the last response or error after [`Options::retry_timeout`]. An earlier attempt may
    /// have had its effect although its response was lost.
    pub async fn send_until_answered(&self, request: Request) -> Result<Response, Error> {
        let begin = Instant::now();
        loop {
            let result = self.send(request.clone()).await;
            let is_answered = match &result {
                Ok(response) => !response.status.is_server_error() && response.status != 429,
                Err(Error::Request(_)) => true,
                Err(_) => false,
            };
            if is_answered || begin.elapsed() > self.0.options.retry_timeout {
                return result;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.gateways).finish()
    }
}

fn connections_from(
    local_address: Option<Ipv4Addr>,
    options: &Options,
) -> HttpClient<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_local_address(local_address.map(Into::into));
    connector.set_nodelay(true);
    let mut builder = HttpClient::builder(TokioExecutor::new());
    if !options.reuses_connections {
        builder.pool_max_idle_per_host(0);
    }
    builder.build(connector)
}
