//! Accepting connections and speaking HTTP/1.1 on them until the process drains.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parlance_runtime::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::limits::TrustedProxies;

/// How long the head of a request may take to arrive, and how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The pause after an accept that failed, mostly for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What connections are served with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) proxies: TrustedProxies,
    pub(crate) lifecycle: Lifecycle,
}

impl Server {
    /// Accepts connections until the process drains.
    pub(crate) async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let accepted = self.lifecycle.draining().run_until_cancelled(listener.accept()).await;
            match accepted {
                None => return Ok(()),
                Some(Ok((stream, peer))) => {
                    self.lifecycle.spawn(self.clone().serve_connection(stream, peer.ip()))
                }
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Serves one connection to its end. When the process drains, the request that has begun is the last one.
    async fn serve_connection(self, stream: TcpStream, peer: IpAddr) {
        let Self { router, proxies, lifecycle } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was lost at once");
            return;
        }
        let service = router.map_request(move |mut request: Request<Incoming>| {
            let client = proxies.client_of(peer, request.headers());
            request.extensions_mut().insert(client);
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        let mut connection = pin!(connection);

        let result = match lifecycle.draining().run_until_cancelled(connection.as_mut()).await {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                lifecycle.stopped().run_until_cancelled(connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = %error, "a connection ended with an error");
        }
    }
}
