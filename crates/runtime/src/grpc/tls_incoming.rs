//! The accepted connections of a server that speaks TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::TcpIncoming;

use crate::tls::Tls;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most handshakes in flight. Further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 1_024;
/// The least time between two warnings about failed handshakes.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Returns the connections whose peer has presented an accepted certificate. No connection waits
/// for the handshake of another. A failed handshake is only logged.
pub(super) fn tls_incoming(
    tcp: TcpIncoming,
    tls: Tls,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let failures = Failures { last_warning: None, unreported: 0 };
    let state = (tcp, FuturesUnordered::new(), failures);
    stream::unfold(state, move |(mut tcp, mut handshakes, mut failures)| {
        let tls = tls.clone();
        async move {
            loop {
                tokio::select! {
                    accepted = tcp.next(), if handshakes.len() < MAX_HANDSHAKES => {
                        match accepted? {
                            Ok(stream) => handshakes.push(handshake(stream, tls.acceptor())),
                            Err(error) => return Some((Err(error), (tcp, handshakes, failures))),
                        }
                    }
                    Some(result) = handshakes.next() => match result {
                        Ok(stream) => return Some((Ok(stream), (tcp, handshakes, failures))),
                        Err((peer, error)) => failures.log(peer, &error),
                    },
                }
            }
        }
    })
}

async fn handshake(
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> Result<TlsStream<TcpStream>, (Option<SocketAddr>, io::Error)> {
    let peer = stream.peer_addr().ok();
    let result = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| (peer, error))
}

/// Logs failed handshakes: each as `debug`, some of them as warnings.
struct Failures {
    last_warning: Option<Instant>,
    /// Failures since the last warning.
    unreported: u64,
}

impl Failures {
    fn log(&mut self, peer: Option<SocketAddr>, error: &io::Error) {
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        if self.last_warning.is_some_and(|last| last.elapsed() < WARNING_INTERVAL) {
            self.unreported += 1;
            tracing::debug!(peer, error = %error, "a TLS handshake failed");
            return;
        }
        tracing::warn!(
            peer, error = %error, since_last = self.unreported,
            "a TLS handshake failed; the connection is closed"
        );
        *self = Self { last_warning: Some(Instant::now()), unreported: 0 };
    }
}
