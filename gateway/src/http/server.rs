//! Accepts connections and speaks HTTP/1.1 on them until the process drains.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parlance_runtime::Lifecycle;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::limits::{ClientAddress, TrustedProxies};

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The time in which the head of a request must arrive. It starts with the answer to the request
/// before, so it also bounds how long a connection is idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after an accept that failed, mostly for lack of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// The time after the start of draining in which a connection may still send its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The connections that the kernel holds until they are accepted. It bounds a reconnect storm. The
/// kernel's `somaxconn` may be lower.
const LISTEN_BACKLOG: u32 = 4_096;

/// Listens on an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted gateway can listen while connections of the old process are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// What each connection is served with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) proxies: TrustedProxies,
    pub(crate) lifecycle: Lifecycle,
}

impl Server {
    /// Accepts connections until the process drains, then the ones that the kernel still holds:
    /// their clients cannot know that they were not accepted.
    pub(crate) async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let accepted = self.lifecycle.draining().run_until_cancelled(listener.accept()).await;
            match accepted {
                None => return self.accept_backlog(listener),
                Some(Ok((stream, peer))) => self.spawn_connection(stream, peer),
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "accepting a connection failed; retrying");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn accept_backlog(&self, listener: TcpListener) -> anyhow::Result<()> {
        let listener = listener.into_std()?;
        for _ in 0..LISTEN_BACKLOG {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // This connection has ended. Others may follow it.
                Err(_) => continue,
            };
            stream.set_nonblocking(true)?;
            self.spawn_connection(TcpStream::from_std(stream)?, peer);
        }
        Ok(())
    }

    fn spawn_connection(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "connection ended before its first request");
            return;
        }
        let client = Arc::new(Client {
            peer: peer.ip(),
            // A token of its own: connections check it for each answer and share no lock.
            draining: self.lifecycle.draining().child_token(),
            has_sent_request: SetOnce::new(),
            server: self.clone(),
        });
        self.lifecycle.spawn(client.serve(stream));
    }
}

/// The client at the other end of a connection.
struct Client {
    server: Server,
    peer: IpAddr,
    draining: CancellationToken,
    has_sent_request: SetOnce<()>,
}

impl Client {
    /// Serves the connection to its end. When the process drains, the request in flight is the last
    /// one. A connection without a request may still send one.
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let client = self.clone();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| client.clone().answer(request)),
            )
            .with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = self.wait_for_last_request() => {
                connection.as_mut().graceful_shutdown();
                let stopped = self.server.lifecycle.stopped();
                stopped.run_until_cancelled(connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = %error, "connection ended with an error");
        }
    }

    /// Resolves when the process drains and the client has had time for a first request.
    async fn wait_for_last_request(&self) {
        self.draining.cancelled().await;
        // After the timeout the connection ends, which tells the client.
        let _ = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, self.has_sent_request.wait()).await;
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        // Fails for all requests but the first, which has set it.
        let _ = self.has_sent_request.set(());
        let address = self.server.proxies.client_address(self.peer, request.headers());
        request.extensions_mut().insert(ClientAddress(address));
        let response = self.server.router.clone().call(request).await?;
        Ok(if self.draining.is_cancelled() { closing(response) } else { response })
    }
}

/// Announces that the connection ends with this answer, unless it becomes a WebSocket.
fn closing(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
