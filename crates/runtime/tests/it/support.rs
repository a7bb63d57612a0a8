//! A gRPC server without a service of its own, and clients of it.

use std::net::SocketAddr;
use std::time::Duration;

use parlance_devstack::certificates::CertificateFiles;
use parlance_runtime::Lifecycle;
use parlance_runtime::config::{CredentialConfig, GrpcTlsConfig};
use parlance_runtime::grpc::{self, Client, ClientConfig, Credential};
use tonic::Code;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The server, and the tasks of its clients, which end with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    _keep_alive: Box<dyn std::any::Any>,
}

impl Server {
    pub(crate) async fn start(credential: &CredentialConfig) -> Self {
        Self::start_at(free_address(), credential).await
    }

    pub(crate) async fn start_at(address: SocketAddr, credential: &CredentialConfig) -> Self {
        let (lifecycle, shutdown) = Lifecycle::new(Duration::from_secs(1));
        let credential = Credential::start(credential, &lifecycle).unwrap();
        grpc::serve(address, &credential, "test", Routes::default(), &lifecycle).await.unwrap();
        Self { address, lifecycle, _keep_alive: Box::new(shutdown) }
    }

    /// A client that connects to the address of the server.
    pub(crate) async fn client(&self, credential: &CredentialConfig) -> Client {
        self.client_by_name(&self.address.to_string(), credential).await
    }

    /// A client that connects to the server under another name.
    pub(crate) async fn client_by_name(&self, name: &str, credential: &CredentialConfig) -> Client {
        let config = ClientConfig {
            service: "test",
            addresses: name.to_owned(),
            credential: Credential::start(credential, &self.lifecycle).unwrap(),
            deadline: Duration::from_secs(10),
        };
        let client = Client::start(config, &self.lifecycle).unwrap();
        client.replicas().wait_for(|replicas| !replicas.is_empty()).await.unwrap();
        client
    }
}

pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()))
}

/// A credential of one token or several, and no certificates.
pub(crate) fn with_token(internal_token: &str) -> CredentialConfig {
    CredentialConfig { internal_token: internal_token.into(), tls: GrpcTlsConfig::default() }
}

/// A credential of a token, and of the certificates in these files.
pub(crate) fn with_files(files: &CertificateFiles) -> CredentialConfig {
    let CertificateFiles { cert, key, ca } = files.clone();
    let tls =
        GrpcTlsConfig { grpc_tls_cert: Some(cert), grpc_tls_key: Some(key), grpc_tls_ca: Some(ca) };
    CredentialConfig { tls, ..with_token("a-token-for-tests-only") }
}

/// Calls the server once.
pub(crate) async fn call(client: &Client) -> Result<(), Code> {
    let request = HealthCheckRequest { service: "test".to_owned() };
    let response = HealthClient::new(client.clone()).check(request).await;
    response.map(drop).map_err(|status| status.code())
}
