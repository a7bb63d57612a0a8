//! TLS connections to the gRPC port of a service, with and without a client certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::certificates::CertificateFiles;
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The first bytes of an HTTP/2 client: the preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connects with a client certificate and returns the certificate of the server. Fails if the
/// server refuses the client, or if another authority signed the server's certificate.
pub async fn server_certificate(
    address: SocketAddr,
    files: &CertificateFiles,
) -> anyhow::Result<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    let config = builder(&files.ca)?.with_client_auth_cert(certificates(&files.cert)?, key)?;
    connect(address, config).await
}

/// Connects without a client certificate.
pub async fn server_certificate_without_client_certificate(
    address: SocketAddr,
    ca: &Path,
) -> anyhow::Result<Vec<u8>> {
    connect(address, builder(ca)?.with_no_client_auth()).await
}

fn builder(ca: &Path) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?)
}

async fn connect(address: SocketAddr, mut config: ClientConfig) -> anyhow::Result<Vec<u8>> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(address.ip().into(), stream).await?;
        stream.write_all(PREFACE).await?;
        // In TLS 1.3 the server refuses a client certificate after its own part of the handshake.
        stream.read_u8().await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(|chain| chain.first());
        anyhow::Ok(certificate.context("the server has shown no certificate")?.to_vec())
    };
    timeout(TIMEOUT, connecting).await.context("the server does not answer")?
}
