//! The calls that this service makes: to the rooms service, for the system rooms of contacts.

use std::time::Duration;

use parlance_proto::rooms::EnsureSystemRoomRequest;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use tokio::time::timeout;

use crate::config::Config;
use crate::error::Error;
use crate::model::UserPair;

/// Well within the deadline of the one who accepts an invitation, and shorter than the claim on a
/// row of the outbox.
const DEADLINE: Duration = Duration::from_millis(600);

/// The rooms service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    client: Client,
}

impl Rooms {
    pub(crate) fn new(
        config: &Config,
        credential: &Credential,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let client_config = ClientConfig {
            service: "rooms",
            addresses: config.rooms_addresses.clone(),
            credential: credential.clone(),
            deadline: DEADLINE,
        };
        Ok(Self { client: Client::start(client_config, lifecycle)? })
    }

    /// Makes the system room of the two unless it is there.
    pub(crate) async fn ensure_system_room(&self, pair: UserPair) -> Result<(), Error> {
        let request = EnsureSystemRoomRequest {
            first_user_id: pair.low.get(),
            second_user_id: pair.high.get(),
        };
        let mut client = RoomsServiceClient::new(self.client.clone());
        timeout(DEADLINE, client.ensure_system_room(request))
            .await
            .map_err(|_| Error::RoomsTooSlow)?
            .map_err(|status| Error::Rooms(Box::new(status)))?;
        Ok(())
    }
}
