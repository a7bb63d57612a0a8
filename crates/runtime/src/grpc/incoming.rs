//! Connections to a server that speaks TLS.

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

/// How long a peer may take to show who it is.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Peers that may be about to show who they are; beyond that, others wait to be accepted.
const MAX_HANDSHAKES: usize = 1_024;
/// Between two warnings of peers that were refused.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The connections of those who have shown a certificate that is accepted. Nobody waits for another
/// one's handshake, and a failed one is only told.
pub(super) fn incoming(
    tcp: TcpIncoming,
    tls: Tls,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let refusals = Refusals { last_told: None, untold: 0 };
    let state = (tcp, FuturesUnordered::new(), refusals);
    stream::unfold(state, move |(mut tcp, mut handshakes, mut refusals)| {
        let tls = tls.clone();
        async move {
            loop {
                tokio::select! {
                    accepted = tcp.next(), if handshakes.len() < MAX_HANDSHAKES => match accepted? {
                        Ok(stream) => handshakes.push(shake_hands(stream, TlsAcceptor::from(tls.server()))),
                        Err(error) => return Some((Err(error), (tcp, handshakes, refusals))),
                    },
                    Some(outcome) = handshakes.next() => match outcome {
                        Ok(stream) => return Some((Ok(stream), (tcp, handshakes, refusals))),
                        Err((peer, error)) => refusals.tell(peer, &error),
                    },
                }
            }
        }
    })
}

async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> Result<TlsStream<TcpStream>, (Option<SocketAddr>, io::Error)> {
    let peer = stream.peer_addr().ok();
    let outcome = timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await;
    outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| (peer, error))
}

/// Tells of peers that were refused: each for who looks closely, some of them for everybody.
struct Refusals {
    last_told: Option<Instant>,
    untold: u64,
}

impl Refusals {
    fn tell(&mut self, peer: Option<SocketAddr>, error: &io::Error) {
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        if self.last_told.is_some_and(|told| told.elapsed() < WARNING_INTERVAL) {
            self.untold += 1;
            tracing::debug!(peer, error = %error, "a connection was refused");
            return;
        }
        tracing::warn!(peer, error = %error, since_last = self.untold, "a connection was refused");
        *self = Self { last_told: Some(Instant::now()), untold: 0 };
    }
}
