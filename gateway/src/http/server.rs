//! Accepting connections and speaking HTTP/1.1 on them until the process drains.

mod head_time;

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
use hyper_util::rt::TokioIo;
use parlance_runtime::Lifecycle;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::http::server::head_time::{HEAD_TIME, HeadTime};
use crate::limits::TrustedProxies;

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The pause after an accept that failed, mostly for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// How long a connection made before the process drains may take to bring its first request.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);
/// How many connections may wait to be accepted, for when everybody comes at once; the system may
/// hold fewer (`somaxconn`).
const MAX_WAITING: u32 = 4_096;

/// Listens on an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A gateway that is started again does not wait for the connections of the one before to be
    // forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MAX_WAITING)
}

/// What connections are served with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) proxies: TrustedProxies,
    pub(crate) lifecycle: Lifecycle,
}

impl Server {
    /// Accepts connections until the process drains. Those that the system has made by then are
    /// served, too: their clients do not know that nobody has accepted them yet.
    pub(crate) async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let accepted = self.lifecycle.draining().run_until_cancelled(listener.accept()).await;
            match accepted {
                None => return self.take_in_waiting(listener),
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

    fn take_in_waiting(&self, listener: TcpListener) -> anyhow::Result<()> {
        let listener = listener.into_std()?;
        for _ in 0..MAX_WAITING {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // That one is gone; others may wait behind it.
                Err(_) => continue,
            };
            stream.set_nonblocking(true)?;
            let stream = TcpStream::from_std(stream)?;
            self.lifecycle.spawn(self.clone().serve_connection(stream, peer.ip()));
        }
        Ok(())
    }

    /// Serves one connection to its end. When the process drains, the request that has begun is the
    /// last one; a connection that has not brought any yet may still bring one.
    async fn serve_connection(self, stream: TcpStream, peer: IpAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was lost at once");
            return;
        }
        let stopped = self.lifecycle.stopped().clone();
        // Asked at each turn of the connection: its own one, so that connections do not wait for
        // each other's lock.
        let draining = self.lifecycle.draining().child_token();
        let client = Arc::new(Client {
            server: self,
            peer,
            draining: draining.clone(),
            has_asked: SetOnce::new(),
        });
        let (asking, head_time) = (client.clone(), HeadTime::default());
        let connection = http1::Builder::new()
            .timer(head_time.clone())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| asking.clone().answer(request)),
            )
            .with_upgrades();
        let mut connection = pin!(connection);

        let last_call = async {
            draining.cancelled().await;
            // Whoever brings nothing in time is told by the end of the connection.
            let _ = tokio::time::timeout(FIRST_REQUEST_TIME, client.has_asked.wait()).await;
        };
        let serving = async {
            tokio::select! {
                biased;
                result = connection.as_mut() => result,
                () = last_call => {
                    connection.as_mut().graceful_shutdown();
                    stopped.run_until_cancelled(connection).await.unwrap_or(Ok(()))
                }
            }
        };
        tokio::select! {
            biased;
            result = serving => if let Err(error) = result {
                tracing::debug!(error = %error, "a connection ended with an error");
            },
            () = head_time.run_out() => tracing::debug!("the head of a request was not there in time"),
        }
    }
}

/// The other end of a connection.
struct Client {
    server: Server,
    peer: IpAddr,
    draining: CancellationToken,
    has_asked: SetOnce<()>,
}

impl Client {
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        // All but the first find it set.
        let _ = self.has_asked.set(());
        let client = self.server.proxies.client_of(self.peer, request.headers());
        request.extensions_mut().insert(client);
        let response = self.server.router.clone().call(request).await?;
        Ok(if self.draining.is_cancelled() { as_last(response) } else { response })
    }
}

/// Says that the connection ends with this answer, unless it becomes a socket with it.
fn as_last(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
