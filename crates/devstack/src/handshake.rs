//! A stranger at the door of a gRPC server: what the server shows, and whether it lets the stranger
//! in.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificates::CertificateFiles;

const DEADLINE: Duration = Duration::from_secs(10);
/// What a client of HTTP/2 says first: the preface, and settings that change nothing.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The certificate that a gRPC server shows to who has these files, if it lets them in: an error if
/// it does not, or is not of the authority in them.
pub async fn certificate_shown_at(
    address: SocketAddr,
    files: &CertificateFiles,
) -> anyhow::Result<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    let config = builder(&files.ca)?.with_client_auth_cert(certificates_in(&files.cert)?, key)?;
    greet(address, config).await
}

/// The same for somebody who has no certificate, but knows the authority.
pub async fn certificate_shown_to_stranger_at(
    address: SocketAddr,
    ca: &Path,
) -> anyhow::Result<Vec<u8>> {
    greet(address, builder(ca)?.with_no_client_auth()).await
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(ca: &Path) -> anyhow::Result<Builder> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(ca)? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots))
}

fn certificates_in(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?)
}

/// A server that refuses a certificate says so after its own part of the handshake, so its first
/// word is waited for.
async fn greet(address: SocketAddr, mut config: ClientConfig) -> anyhow::Result<Vec<u8>> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let greeting = async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(address.ip().into(), stream).await?;
        stream.write_all(GREETING).await?;
        stream.read_u8().await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        anyhow::Ok(shown.context("the server has shown nothing")?.to_vec())
    };
    timeout(DEADLINE, greeting).await.context("the server did not answer")?
}
