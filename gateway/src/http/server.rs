//! Accepts connections and speaks HTTP/1.1 on them until the process drains.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parlance_core::ErrorCode;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::app::App;
use crate::http::closing;
use crate::http::exchange::{AnswerBody, Exchange};
use crate::http::head::{self, Refused};
use crate::http::security::CameByTls;
use crate::http::transport::Transport;
use crate::limits::{ClientAddress, TcpPermit};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// An idle connection lives for longer than announced, so that a request which the client sends at
/// the last moment is answered.
const KEEP_ALIVE_GRACE: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
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
    app: App,
    router: Router,
    /// Announces how long an idle connection lives.
    keep_alive: HeaderValue,
}

impl Server {
    pub(crate) fn new(app: App, router: Router) -> Self {
        let seconds = app.config.keep_alive_timeout.as_secs().max(1);
        let keep_alive = HeaderValue::from_str(&format!("timeout={seconds}"));
        // Digits are a valid value.
        let keep_alive = keep_alive.unwrap_or(HeaderValue::from_static("timeout=1"));
        Self { app, router, keep_alive }
    }

    /// Accepts connections until the process drains, then the ones that the kernel still holds:
    /// their clients cannot know that they were not accepted.
    pub(crate) async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let draining = self.app.lifecycle.draining();
            let accepted = draining.run_until_cancelled(listener.accept()).await;
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
        // Without a permit the connection is closed at once.
        let Some(permit) = self.app.tcp_limits.accept(peer.ip()) else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "connection ended before its first request");
            return;
        }
        let client = Arc::new(Client {
            peer: peer.ip(),
            // A token of its own: connections check it for each answer and share no lock.
            draining: self.app.lifecycle.draining().child_token(),
            has_sent_request: SetOnce::new(),
            exchange: Arc::default(),
            server: self.clone(),
        });
        self.app.lifecycle.spawn(client.serve(stream, permit));
    }
}

/// The client at the other end of a connection.
struct Client {
    server: Server,
    peer: IpAddr,
    draining: CancellationToken,
    has_sent_request: SetOnce<()>,
    exchange: Arc<Exchange>,
}

impl Client {
    /// Serves the connection to its end.
    async fn serve(self: Arc<Self>, stream: TcpStream, permit: TcpPermit) {
        let app = &self.server.app;
        let keep_alive = app.config.keep_alive_timeout + KEEP_ALIVE_GRACE;
        let proxies = &app.config.limits.trusted_proxies;
        let share = app.input_limits.share_of_peer(self.peer, proxies);
        let transport = Transport::new(stream, permit, share, self.exchange.clone(), keep_alive);
        let result = self.clone().speak_http(transport).await;
        // A WebSocket does not end here.
        let Some(ended) = self.exchange.take_ended() else { return };
        let mut refused = ended.refused;
        if let Err(error) = result {
            tracing::debug!(error = %error, "connection ended with an error");
            // hyper does not answer the preface of HTTP/2.
            refused = refused.or(error.is_parse().then_some(ErrorCode::BadRequest));
            if refused.is_none() {
                return;
            }
        }
        let closing = closing::close(app, ended, refused);
        app.lifecycle.stopped().run_until_cancelled(closing).await;
    }

    /// Speaks HTTP until the connection ends or becomes a WebSocket. When the process drains, the
    /// request in flight is the last one. A connection without a request may still send one.
    async fn speak_http(self: Arc<Self>, transport: Transport) -> hyper::Result<()> {
        let client = self.clone();
        let connection = http1::Builder::new()
            // The transport has the timeouts.
            .header_read_timeout(None)
            // A client may end its side after the request. The answer still reaches it.
            .half_close(true)
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(transport),
                service_fn(move |request| client.clone().answer(request)),
            )
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = self.wait_for_last_request() => {
                connection.as_mut().graceful_shutdown();
                let stopped = self.server.app.lifecycle.stopped();
                stopped.run_until_cancelled(connection).await.unwrap_or(Ok(()))
            }
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
    ) -> Result<Response<AnswerBody>, Infallible> {
        self.exchange.begin();
        // Fails for all requests but the first, which has set it.
        let _ = self.has_sent_request.set(());
        if let Err(code) = head::check(&mut request) {
            request.extensions_mut().insert(Refused(code));
        }
        let proxies = &self.server.app.config.limits.trusted_proxies;
        let address = proxies.client_address(self.peer, request.headers());
        request.extensions_mut().insert(ClientAddress(address));
        if proxies.contains(self.peer.to_canonical())
            && let Some(came_by_tls) = CameByTls::of_proxy(request.headers())
        {
            request.extensions_mut().insert(came_by_tls);
        }
        let is_last = is_last(&request);
        let mut response = self.server.router.clone().call(request).await?;
        self.announce(&mut response, is_last);
        Ok(response.map(|body| AnswerBody::new(body, self.exchange.clone())))
    }

    /// Announces whether the connection ends with this answer, unless it becomes a WebSocket.
    fn announce(&self, response: &mut Response, is_last: Option<bool>) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let headers = response.headers_mut();
        if has_option(headers, "close") {
            return;
        }
        if self.draining.is_cancelled() || is_last == Some(true) {
            headers.append(CONNECTION, HeaderValue::from_static("close"));
        } else if is_last == Some(false) && !headers.contains_key(CONNECTION) {
            // `Connection: upgrade` stays as it is: HTTP/1.1 connections live on anyway.
            headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.insert(KEEP_ALIVE, self.server.keep_alive.clone());
        }
    }
}

/// Returns true if the connection ends with the answer to this request (RFC 9112 9.3). `None` if
/// only hyper knows.
fn is_last<B>(request: &Request<B>) -> Option<bool> {
    let headers = request.headers();
    let is_kept = request.version() >= Version::HTTP_11 || has_option(headers, "keep-alive");
    if !is_kept || has_option(headers, "close") {
        return Some(true);
    }
    // hyper ends the connection if there was `Content-Length` too, which it has removed.
    let may_be_ambiguous = headers.contains_key(TRANSFER_ENCODING);
    (!may_be_ambiguous).then_some(false)
}

/// Returns true if `Connection` lists this option.
fn has_option(headers: &HeaderMap, option: &str) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| item.trim().eq_ignore_ascii_case(option))
}
