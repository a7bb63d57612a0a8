//! The subscriptions of this gateway, by room.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::{Clock, RoomId};
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::auth::identity::Identity;
use crate::cache::users::UserCache;
use crate::fanout::change_pages::ChangePages;
use crate::fanout::encode::Encoder;
use crate::fanout::reassign::Renewals;
use crate::fanout::room::Room;
use crate::lock::lock;
use crate::messaging_client::MessagingClient;
use crate::metrics;
use crate::ws::flush::FlushWorkers;
use crate::ws::send_budget::SendBudget;
use crate::ws::send_queue::SendQueue;

/// Users whose memberships are being checked again because their rooms have moved. Further ones
/// wait, so that the checks of sends and new subscriptions do not.
const MAX_RENEWALS_IN_FLIGHT: usize = 1_000;
const MAX_CONCURRENT_BACKFILLS: usize = 32;
/// Batches of events that wait for the look-up of a user. Further ones leave at once, with what
/// messaging knows of the user.
const MAX_CONCURRENT_LOOK_UPS: usize = 32;
/// Enough to keep the store busy without a queue inside it.
const MAX_CONCURRENT_REPLAYS: usize = 32;

/// The subscriptions of this gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(pub(super) Arc<Shared>);

pub(crate) struct Shared {
    pub(super) messaging_client: MessagingClient,
    pub(super) encoder: Arc<Encoder>,
    pub(super) change_pages: ChangePages,
    pub(super) lifecycle: Lifecycle,
    pub(super) send_budget: SendBudget,
    pub(super) flush_workers: FlushWorkers,
    pub(super) clock: Clock,
    /// Of messages, from the commit to the send queues.
    pub(super) delays: Histogram<f64>,
    pub(super) backfills: Counter<u64>,
    rooms: Mutex<Rooms>,
    connections: Mutex<Connections>,
    pub(super) renewals: Renewals,
    pub(super) look_up_permits: Arc<Semaphore>,
    pub(super) backfill_permits: Semaphore,
    /// Given to new subscribers in the order of their requests.
    pub(super) replay_permits: Semaphore,
}

/// The rooms with a subscriber.
pub(super) type Rooms = HashMap<RoomId, Room>;
/// The authenticated connections by id.
type Connections = HashMap<u64, (Arc<Identity>, Arc<SendQueue>)>;

impl Hub {
    /// Makes a hub without subscriptions. [`run`](Self::run) starts its tasks.
    pub(crate) fn new(
        messaging_client: MessagingClient,
        messaging: MessagingServiceClient<Client>,
        users: UserCache,
        send_budget: SendBudget,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> Self {
        let encoder = Arc::new(Encoder::new(users, send_budget.clone()));
        let backfills = metrics::counter(
            "parlance.gateway.backfills",
            "Pages read from the store to close gaps in the events of rooms.",
        );
        backfills.add(0, &[]);
        Self(Arc::new(Shared {
            messaging_client,
            change_pages: ChangePages { messaging, encoder: encoder.clone() },
            encoder,
            lifecycle: lifecycle.clone(),
            send_budget,
            flush_workers: FlushWorkers::default(),
            clock,
            delays: metrics::seconds(
                "parlance.gateway.delivery.delay",
                "Time from a message's creation in the store to the send queues.",
                &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0],
            ),
            backfills,
            rooms: Mutex::default(),
            connections: Mutex::default(),
            renewals: Renewals::new(MAX_RENEWALS_IN_FLIGHT),
            look_up_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_LOOK_UPS)),
            backfill_permits: Semaphore::new(MAX_CONCURRENT_BACKFILLS),
            replay_permits: Semaphore::new(MAX_CONCURRENT_REPLAYS),
        }))
    }

    /// Makes a send queue. Without a stream, the client is in this process.
    pub(crate) fn send_queue(&self, id: u64, stream: Option<Arc<TcpStream>>) -> Arc<SendQueue> {
        Arc::new(SendQueue::new(id, stream, &self.send_budget))
    }

    /// Adds an authenticated connection, or gives it a newer token. The caller checks the token
    /// afterwards: what ended before is not noticed here.
    pub(crate) fn connect(&self, send_queue: &Arc<SendQueue>, identity: Arc<Identity>) {
        self.connections().insert(send_queue.id, (identity, send_queue.clone()));
        if self.lifecycle.draining().is_cancelled() {
            send_queue.notify_drain();
        }
    }

    /// Removes a connection and its subscriptions.
    pub(crate) fn disconnect(&self, connection_id: u64, subscribed: &HashSet<RoomId>) {
        self.connections().remove(&connection_id);
        let mut rooms = self.rooms();
        for &room_id in subscribed {
            self.leave(&mut rooms, room_id, connection_id);
        }
    }

    /// Removes the rooms in which the subscription of a connection has ended.
    pub(crate) fn retain_subscribed(&self, connection_id: u64, subscribed: &mut HashSet<RoomId>) {
        let rooms = self.rooms();
        subscribed.retain(|room_id| rooms.get(room_id).is_some_and(|room| room.has(connection_id)));
    }

    /// Ends the subscription of a connection to a room, if there is one.
    pub(super) fn leave(&self, rooms: &mut Rooms, room_id: RoomId, connection_id: u64) {
        if rooms.get_mut(&room_id).is_some_and(|room| room.leave(connection_id)) {
            self.drop_if_empty(rooms, room_id);
        }
    }

    /// Removes a room without subscribers. The lock is held, so that the release does not overtake
    /// a new subscription.
    pub(super) fn drop_if_empty(&self, rooms: &mut Rooms, room_id: RoomId) {
        if rooms.get(&room_id).is_some_and(Room::is_empty)
            && let Some(room) = rooms.remove(&room_id)
        {
            let streams = room.owner.into_iter().chain(room.previous_owner);
            streams.for_each(|stream| self.messaging_client.release(room_id, stream));
        }
    }
}

impl Deref for Hub {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// Locks the rooms, to copy frames into queues. Never held across an await.
    pub(super) fn rooms(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.rooms)
    }

    /// Locks the connections. Never held across an await.
    pub(super) fn connections(&self) -> MutexGuard<'_, Connections> {
        lock(&self.connections)
    }
}
