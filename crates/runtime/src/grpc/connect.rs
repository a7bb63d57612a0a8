//! The connection of a client to one replica.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::Tls;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Longer, because the handshake costs the server processor time.
const TLS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A name, and how to connect to the replicas behind it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `host:port`, to be resolved.
    pub(super) name: String,
    tls: Option<(Tls, ServerName<'static>)>,
}

impl Target {
    /// Fails if TLS is used and the host cannot be in a certificate.
    pub(super) fn new(name: &str, tls: Option<Tls>) -> anyhow::Result<Self> {
        let server_name = || {
            let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            ServerName::try_from(host.to_owned())
                .with_context(|| format!("{name} is no host name that a certificate can have"))
        };
        let tls = tls.map(|tls| anyhow::Ok((tls, server_name()?))).transpose()?;
        Ok(Self { name: name.to_owned(), tls })
    }

    /// Returns the connection to one of the addresses of the name. It is made when first used, and
    /// again when lost.
    pub(super) fn channel(&self, address: SocketAddr) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let Some((tls, server_name)) = self.tls.clone() else { return Ok(endpoint.connect_lazy()) };
        let connector =
            service_fn(move |_: Uri| connect(address, server_name.clone(), tls.connector()));
        Ok(endpoint
            .origin(format!("https://{}", self.name).parse()?)
            .connect_timeout(TLS_CONNECT_TIMEOUT)
            .connect_with_connector_lazy(connector))
    }
}

async fn connect(
    address: SocketAddr,
    server_name: ServerName<'static>,
    connector: TlsConnector,
) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(connector.connect(server_name, stream).await?))
}
