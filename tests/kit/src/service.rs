//! A service that runs inside a test, and a gRPC client of it.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_runtime::Lifecycle;
use parlance_runtime::config::{CredentialConfig, GrpcServerConfig, GrpcTlsConfig, PostgresConfig};
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use tonic::{Response, Status};

/// The internal token of all services that run inside a test.
pub const INTERNAL_TOKEN: &str = "a-token-for-tests-only";
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_DATABASE_CONNECTIONS: u32 = 10;

/// A running replica of a service. Its tasks end with the runtime of the test.
pub struct Service {
    /// The address of its gRPC server.
    pub address: SocketAddr,
    /// The owner of its tasks and of those of its client.
    pub lifecycle: Lifecycle,
    /// The channel for its generated client.
    pub client: Client,
    /// Collects tasks that fail, as in a process.
    _shutdown: Box<dyn Any + Send>,
}

impl Service {
    /// Starts a service with a function that is called with its lifecycle, and connects to the
    /// address at which it then listens.
    pub async fn start(
        name: &'static str,
        address: SocketAddr,
        start: impl AsyncFnOnce(&Lifecycle) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let (lifecycle, shutdown) = Lifecycle::new(DRAIN_TIMEOUT);
        start(&lifecycle).await?;
        let client = connect(name, address, &lifecycle).await?;
        Ok(Self { address, lifecycle, client, _shutdown: Box::new(shutdown) })
    }
}

/// Connects to the gRPC server of a service, with [`INTERNAL_TOKEN`].
pub async fn connect(
    service: &'static str,
    address: SocketAddr,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Client> {
    let config = ClientConfig {
        service,
        addresses: address.to_string(),
        credential: Credential::start(&credential(), lifecycle)?,
        deadline: CALL_TIMEOUT,
    };
    let client = Client::start(config, lifecycle)?;
    client.replicas().wait_for(|replicas| !replicas.is_empty()).await?;
    Ok(client)
}

/// [`INTERNAL_TOKEN`], without TLS.
pub fn credential() -> CredentialConfig {
    CredentialConfig { internal_token: INTERNAL_TOKEN.into(), tls: GrpcTlsConfig::default() }
}

/// The settings of a gRPC server at this address.
pub fn grpc_server(address: SocketAddr) -> GrpcServerConfig {
    GrpcServerConfig { grpc_listen: address, credential: credential() }
}

/// The settings of a database.
pub fn postgres(database_url: &str) -> PostgresConfig {
    PostgresConfig {
        database_url: database_url.to_owned().into(),
        database_max_connections: MAX_DATABASE_CONNECTIONS,
        standby_is_synchronous: false,
    }
}

/// The response of a call, or the error code of its status.
pub async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ErrorCode> {
    call.await.map(Response::into_inner).map_err(|status| code_from_status(&status))
}
