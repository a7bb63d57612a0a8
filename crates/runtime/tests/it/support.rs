//! A gRPC server with nothing of its own, and clients of it.

use std::net::SocketAddr;
use std::time::Duration;

use parlance_runtime::Lifecycle;
use parlance_runtime::config::{GrpcServerConfig, InternalTokenConfig};
use parlance_runtime::grpc::{self, Client, ClientConfig};
use tonic::Code;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The server and the tasks of its clients, which end with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    _keep_alive: Box<dyn std::any::Any>,
}

impl Server {
    pub(crate) async fn start(credential: InternalTokenConfig) -> Self {
        let (lifecycle, ending) = Lifecycle::new(Duration::from_secs(1));
        let address = SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()));
        let config = GrpcServerConfig { grpc_listen: address, credential };
        grpc::serve(&config, "test", Routes::default(), &lifecycle).await.unwrap();
        Self { address, lifecycle, _keep_alive: Box::new(ending) }
    }

    /// A client that knows where the server is.
    pub(crate) async fn client(&self, credential: &InternalTokenConfig) -> Client {
        let config = ClientConfig {
            service: "test",
            addresses: self.address.to_string(),
            internal_token: credential.internal_token.clone(),
            deadline: Duration::from_secs(10),
        };
        let client = Client::start(config, &self.lifecycle).unwrap();
        client.replicas().wait_for(|replicas| !replicas.is_empty()).await.unwrap();
        client
    }
}

/// Asks whether the server is well.
pub(crate) async fn ask(client: &Client) -> Result<(), Code> {
    let request = HealthCheckRequest { service: "test".to_owned() };
    let answer = HealthClient::new(client.clone()).check(request).await;
    answer.map(drop).map_err(|status| status.code())
}
