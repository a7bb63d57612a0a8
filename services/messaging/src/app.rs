//! The parts of the service, built in one place.

use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use parlance_runtime::postgres::{FailoverGuard, Pool};
use parlance_runtime::{Lifecycle, redis};

use crate::NAME;
use crate::background::purge::DeletedRooms;
use crate::background::{compare_rooms, log_poller, membership_ends, trim};
use crate::clients::memberships::Memberships;
use crate::config::Config;
use crate::ops::send_messages::SendPipeline;
use crate::pubsub::PubSub;
use crate::streams::Streams;

/// The name of the second pool in metrics and database connections.
const VITAL_POOL: &str = "messaging-vital";
/// Raises the numbers of all rooms.
const RAISE: &str = "SELECT messaging.raise_numbers()";

/// The parts that handle requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// Connections for reads of history and for changes, which may wait for a locked room.
    pub(crate) pool: Pool,
    /// Connections for short work that does not wait behind those: commits, the log poller, and the
    /// first step of a subscription.
    pub(crate) vital_pool: Pool,
    pub(crate) memberships: Memberships,
    pub(crate) streams: Streams,
    pub(crate) pubsub: PubSub,
    pub(crate) send_pipeline: SendPipeline,
}

impl App {
    /// Builds the parts and starts their tasks. Redis and rooms need not be available yet.
    pub(crate) async fn start(
        config: &Config,
        credential: &Credential,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let [vital, ordinary] = config.postgres.divide();
        let guard = FailoverGuard::start(NAME, &config.postgres, RAISE, lifecycle).await;
        let pool = guard.pool(NAME, &ordinary)?;
        let vital_pool = guard.pool(VITAL_POOL, &vital)?;
        let client = Client::start(
            ClientConfig {
                service: "rooms",
                addresses: config.rooms_addresses.clone(),
                credential: credential.clone(),
                deadline: config.rooms_deadline,
            },
            lifecycle,
        )?;
        let rooms = RoomsServiceClient::new(client.clone());

        let streams = Streams::default();
        let (publisher, subscriber) = redis::clients(&config.redis)?;
        let pubsub = PubSub::start(publisher, subscriber, streams.clone(), lifecycle);
        let memberships = Memberships::start(rooms, lifecycle);
        let send_pipeline = SendPipeline::start(
            vital_pool.clone(),
            memberships.clone(),
            streams.clone(),
            pubsub.clone(),
            lifecycle,
        );

        let deleted_rooms = DeletedRooms::start(pool.clone(), lifecycle);
        compare_rooms::start(pool.clone(), client.clone(), deleted_rooms.clone(), lifecycle);
        membership_ends::start(client, streams.clone(), deleted_rooms, lifecycle);
        log_poller::start(vital_pool.clone(), streams.clone(), config.log_poll_interval, lifecycle);
        trim::start(pool.clone(), lifecycle);
        streams.go_away_on_drain(lifecycle);
        Ok(Self { pool, vital_pool, memberships, streams, pubsub, send_pipeline })
    }
}
