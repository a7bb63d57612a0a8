//! Fetching a small document by HTTP/1.1: one GET on a connection of its own. No redirect is
//! followed and no proxy is used, so that the document comes from the configured URL only.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

/// A document, and how long it is fresh by its `Cache-Control`.
pub(super) struct Document {
    pub(super) body: Bytes,
    /// `None` if the header does not say.
    pub(super) max_age: Option<Duration>,
}

/// Fetches a document of at most `max_bytes`. The caller sets the deadline.
pub(super) async fn get(url: &Url, max_bytes: usize) -> anyhow::Result<Document> {
    let host = url.host().context("the URL has no host")?;
    let port = url.port_or_known_default().context("the URL has no port")?;
    let tcp = match host {
        Host::Domain(domain) => TcpStream::connect((domain, port)).await,
        Host::Ipv4(address) => TcpStream::connect((address, port)).await,
        Host::Ipv6(address) => TcpStream::connect((address, port)).await,
    };
    let tcp = tcp.context("cannot connect")?;
    if url.scheme() != "https" {
        return request(tcp, url, max_bytes).await;
    }
    let name = match host {
        Host::Domain(domain) => ServerName::try_from(domain.to_owned())?,
        Host::Ipv4(address) => ServerName::IpAddress(address.into()),
        Host::Ipv6(address) => ServerName::IpAddress(address.into()),
    };
    let tls =
        tls_connector().await?.connect(name, tcp).await.context("the TLS handshake failed")?;
    request(tls, url, max_bytes).await
}

/// Trusts the authorities that the system trusts now. They are read for each fetch, which is rare.
async fn tls_connector() -> anyhow::Result<TlsConnector> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    ensure!(!roots.is_empty(), "the system trusts no authorities (SSL_CERT_FILE names others)");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &Url,
    max_bytes: usize,
) -> anyhow::Result<Document> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, "parlance-auth")
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        ensure!(status == StatusCode::OK, "the answer has the status {}", status.as_u16());
        let max_age = max_age(response.headers());
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed).context("cannot read the body")?;
        Ok(Document { body: body.to_bytes(), max_age })
    };
    // The connection has to be driven while the exchange waits for it.
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

/// Returns the `max-age` of `Cache-Control` (RFC 9111, section 5.2.2); 0 for `no-store` and
/// `no-cache`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in values.flat_map(|value| value.split(',')) {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            max_age = max_age.or(seconds.trim_matches('"').parse().ok());
        }
    }
    max_age.map(Duration::from_secs)
}

#[cfg(test)]
#[path = "tests/http.rs"]
mod tests;
