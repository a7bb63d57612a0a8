//! Everything the service is made of, built in one place.

use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use parlance_runtime::{Lifecycle, postgres, redis};
use sqlx::PgPool;

use crate::bus::Bus;
use crate::config::Config;
use crate::gateways::Gateways;
use crate::memberships::Memberships;
use crate::writer::Writer;
use crate::{NAME, membership_ends, tail, tombstones};

/// The parts that handle requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) memberships: Memberships,
    pub(crate) gateways: Gateways,
    pub(crate) bus: Bus,
    pub(crate) writer: Writer,
}

impl App {
    /// Connects the parts and starts their tasks. Nothing outside has to be there yet.
    pub(crate) fn start(
        config: &Config,
        credential: &Credential,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let pool = postgres::pool(NAME, &config.postgres)?;
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

        let gateways = Gateways::default();
        let (publisher, subscriber) = redis::clients(&config.redis)?;
        let bus = Bus::start(publisher, subscriber, gateways.clone(), lifecycle);
        let memberships = Memberships::start(rooms, lifecycle);
        let writer = Writer::start(&pool, &memberships, &gateways, &bus, lifecycle);

        let deleted_rooms = tombstones::start(pool.clone(), lifecycle);
        membership_ends::follow(client, gateways.clone(), deleted_rooms, lifecycle);
        tail::start(pool.clone(), gateways.clone(), config.tail_interval, lifecycle);
        gateways.say_goodbye_on_drain(lifecycle);
        Ok(Self { pool, memberships, gateways, bus, writer })
    }
}
