//! Mutual TLS between the programs. Each side presents its certificate, and demands one that the
//! same authorities have issued. The files are read again and again, and a new connection uses the
//! newest certificates.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Lifecycle;
use crate::config::GrpcTlsConfig;

const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
const ALPN_PROTOCOL: &[u8] = b"h2";

/// The certificate of this process, and the authorities that it trusts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    configs: watch::Receiver<Configs>,
}

/// The same certificate and authorities for both directions.
#[derive(Clone, Debug)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files, now and whenever they change. Returns `None` if none are configured.
    pub(crate) fn start(
        config: &GrpcTlsConfig,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Option<Self>> {
        let Some(paths) = paths(config) else { return Ok(None) };
        let contents = read(&paths)?;
        let (sender, configs) = watch::channel(Configs::from_pem(&contents)?);
        let known = Some(fingerprint(&contents));
        lifecycle.spawn_task("certificates", reload_forever(paths, known, sender));
        Ok(Some(Self { configs }))
    }

    /// Returns the acceptor for a connection that comes in now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.configs.borrow().server.clone().into()
    }

    /// Returns the connector for a connection that goes out now.
    pub(crate) fn connector(&self) -> TlsConnector {
        self.configs.borrow().client.clone().into()
    }
}

/// Uses new files as soon as they change. Files that cannot be used are logged once, and the
/// certificates before them stay in use.
async fn reload_forever(
    paths: Files<PathBuf>,
    mut known: Option<u64>,
    configs: watch::Sender<Configs>,
) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        let paths = paths.clone();
        let contents = tokio::task::spawn_blocking(move || read(&paths)).await?;
        let new = contents.as_ref().ok().map(fingerprint);
        if new == known {
            continue;
        }
        known = new;
        match contents.and_then(|contents| Configs::from_pem(&contents)) {
            Ok(new) => {
                configs.send_replace(new);
                tracing::info!("new certificates are in use");
            }
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "new certificates cannot be used; the old ones stay in use"
            ),
        }
    }
}

/// A certificate, its key and the authorities, in PEM.
type Files<T> = [T; 3];

fn paths(config: &GrpcTlsConfig) -> Option<Files<PathBuf>> {
    let GrpcTlsConfig { grpc_tls_cert, grpc_tls_key, grpc_tls_ca } = config.clone();
    Some([grpc_tls_cert?, grpc_tls_key?, grpc_tls_ca?])
}

fn read([cert, key, ca]: &Files<PathBuf>) -> anyhow::Result<Files<Vec<u8>>> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok([read(cert)?, read(key)?, read(ca)?])
}

/// Returns a hash by which a change is noticed, so that the key is not kept in memory.
fn fingerprint(contents: &Files<Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    hasher.finish()
}

impl Configs {
    /// Connections are few and long, so none is resumed: each checks the certificates.
    fn from_pem([cert, key, ca]: &Files<Vec<u8>>) -> anyhow::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(root_store(ca).context("GRPC_TLS_CA")?);
        let chain = certificates(cert).context("GRPC_TLS_CERT")?;
        let key =
            PrivateKeyDer::from_pem_slice(key).context("GRPC_TLS_KEY: no private key in PEM")?;

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .context("GRPC_TLS_CERT and GRPC_TLS_KEY do not match")?;
        client.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();

        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        server.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// Parses the authorities in a file. Fails if there are none.
pub(crate) fn root_store(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.context("no certificates in PEM")?;
    ensure!(!certificates.is_empty(), "no certificates in PEM");
    Ok(certificates)
}
