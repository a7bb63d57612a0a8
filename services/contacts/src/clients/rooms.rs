//! The client of the rooms service, which makes the system rooms of contacts.

use std::time::Duration;

use parlance_proto::rooms::EnsureSystemRoomRequest;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use tokio::time::timeout;

use crate::error::Error;
use crate::model::UserPair;

/// Well below the deadline of the request that accepts an invitation, and shorter than the claim on
/// an outbox row.
const CALL_TIMEOUT: Duration = Duration::from_millis(600);

/// Calls the rooms service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RoomsClient {
    client: Client,
}

impl RoomsClient {
    pub(crate) fn new(
        addresses: String,
        credential: &Credential,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let config = ClientConfig {
            service: "rooms",
            addresses,
            credential: credential.clone(),
            deadline: CALL_TIMEOUT,
        };
        Ok(Self { client: Client::start(config, lifecycle)? })
    }

    /// Makes the system room of the two users unless it exists.
    pub(crate) async fn ensure_system_room(&self, users: UserPair) -> Result<(), Error> {
        let request = EnsureSystemRoomRequest {
            first_user_id: users.low.get(),
            second_user_id: users.high.get(),
        };
        let mut client = RoomsServiceClient::new(self.client.clone());
        timeout(CALL_TIMEOUT, client.ensure_system_room(request))
            .await
            .map_err(|_| Error::RoomsTimeout)?
            .map_err(|status| Error::Rooms(Box::new(status)))?;
        Ok(())
    }
}
