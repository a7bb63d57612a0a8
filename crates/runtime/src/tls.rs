//! TLS between the parts. Each shows its certificate, as a server and as a client, and demands one
//! of the other side that the same authorities vouch for. The files are read again and again: what
//! is in them counts for every new connection.

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

use crate::Lifecycle;
use crate::config::GrpcTlsConfig;

/// How often the files are read.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// What is spoken over the connections.
const PROTOCOL: &[u8] = b"h2";

/// What this process shows and demands, as it is now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    sides: watch::Receiver<Sides>,
}

/// The same certificate and authorities, for connections that come in and for those that go out.
#[derive(Clone, Debug)]
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files, and goes on doing so; nothing if none are named.
    pub(crate) fn start(
        config: &GrpcTlsConfig,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Option<Self>> {
        let Some(files) = Files::named_in(config) else { return Ok(None) };
        let contents = files.read()?;
        let (sender, sides) = watch::channel(contents.sides()?);
        let seen = Some(contents.fingerprint());
        lifecycle.spawn_task("certificates", reload_forever(files, seen, sender));
        Ok(Some(Self { sides }))
    }

    /// For a connection that comes in now.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.sides.borrow().server.clone()
    }

    /// For a connection that goes out now.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.sides.borrow().client.clone()
    }
}

/// Takes over what is new in the files. What cannot be used is told once, and what was in use
/// before is kept.
async fn reload_forever(
    files: Files,
    mut seen: Option<u64>,
    sides: watch::Sender<Sides>,
) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        let files = files.clone();
        let contents = tokio::task::spawn_blocking(move || files.read()).await?;
        let fingerprint = contents.as_ref().ok().map(Contents::fingerprint);
        if fingerprint == seen {
            continue;
        }
        seen = fingerprint;
        match contents.and_then(|contents| contents.sides()) {
            Ok(new) => {
                sides.send_replace(new);
                tracing::info!("new certificates are in use");
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "new certificates cannot be used, the old ones are kept"
                )
            }
        }
    }
}

/// Where a certificate, its key and the authorities are, in PEM.
#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl Files {
    fn named_in(config: &GrpcTlsConfig) -> Option<Self> {
        let GrpcTlsConfig { grpc_tls_cert, grpc_tls_key, grpc_tls_ca } = config.clone();
        Some(Self { cert: grpc_tls_cert?, key: grpc_tls_key?, ca: grpc_tls_ca? })
    }

    fn read(&self) -> anyhow::Result<Contents> {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, ca: read(&self.ca)? })
    }
}

/// What is in the files.
#[derive(Hash)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl Contents {
    /// By which contents are told apart, so that the key need not be kept.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Connections are few and long, so none is resumed: each begins with a look at the
    /// certificates.
    fn sides(&self) -> anyhow::Result<Sides> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(root_store(&self.ca).context("GRPC_TLS_CA")?);
        let chain = certificates(&self.cert).context("GRPC_TLS_CERT")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .context("GRPC_TLS_KEY: no private key in PEM")?;

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .context("GRPC_TLS_CERT and GRPC_TLS_KEY do not fit")?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();

        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Sides { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// The authorities in a file, of which there must be one at least.
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
