//! Who is subscribed to what on this gateway, and the way of an event from a stream of messaging to
//! the sockets.
//!
//! The JSON of an event is encoded once and shared by all its subscribers. Whatever order the
//! streams deliver in, a room's events leave in `seq` order, each once and without gaps: see
//! [`Room`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::Counter;
use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{Answer, AttachResponse, EndReason, MembershipEnd};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::auth::verifier::TokenVerifier;
use crate::cache::users::UserCache;
use crate::fanout::change_pages::Pages;
pub(crate) use crate::fanout::delivery_delay::DeliveryDelay;
use crate::fanout::encode::Encoder;
use crate::fanout::room::Room;
use crate::messaging_client::{MessagingClient, Renewal};
use crate::ws::flush::FlushWorkers;
use crate::ws::frames::Frames;
use crate::ws::protocol::{ErrorFrame, ServerFrame, refusal};
use crate::ws::send_budget::{SendBudget, SharedFrames};
use crate::ws::send_queue::{CloseCode, SendQueue};

/// Holes filled at once.
const MAX_BACKFILLS: usize = 32;
/// Reads for those who begin to listen at once, and first subscriptions: what keeps a store busy
/// without a queue inside it.
const MAX_TURNS: usize = 32;
/// How often it is seen to that not too much waits for clients.
const SHED_INTERVAL: Duration = Duration::from_millis(100);
/// A client that reads takes in less than this what was written to it.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often rooms whose stream was lost look for another one.
const REASSIGN_INTERVAL: Duration = Duration::from_millis(250);

/// The subscriptions of this gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) messaging_client: MessagingClient,
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) pages: Pages,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) send_budget: SendBudget,
    pub(crate) deliveries: FlushWorkers,
    pub(crate) delays: DeliveryDelay,
    pub(crate) fills: Counter<u64>,
    /// Held to copy frames into queues, never across an await.
    pub(crate) rooms: Mutex<HashMap<RoomId, Room>>,
    pub(crate) connections: Mutex<HashMap<u64, (UserId, Arc<SendQueue>)>>,
    pub(crate) backfills: Semaphore,
    /// Whoever begins to listen waits here for his turn, first come, first served.
    pub(crate) turns: Semaphore,
}

impl Hub {
    /// Starts the tasks that keep subscriptions where they belong and close the sockets of users
    /// who are locked out.
    pub(crate) fn start(
        messaging_client: MessagingClient,
        messaging: MessagingServiceClient<Client>,
        users: UserCache,
        access: &TokenVerifier,
        send_budget: SendBudget,
        delays: DeliveryDelay,
        lifecycle: &Lifecycle,
    ) -> Self {
        let encoder = Arc::new(Encoder::new(users, send_budget.clone()));
        let deliveries = FlushWorkers::default();
        deliveries.run(lifecycle);
        let shared = Shared {
            messaging_client: messaging_client.clone(),
            encoder: encoder.clone(),
            pages: Pages { messaging, encoder },
            lifecycle: lifecycle.clone(),
            send_budget,
            deliveries,
            delays,
            fills: fills(),
            rooms: Mutex::default(),
            connections: Mutex::default(),
            backfills: Semaphore::new(MAX_BACKFILLS),
            turns: Semaphore::new(MAX_TURNS),
        };
        let hub = Self { shared: Arc::new(shared) };
        hub.observe();
        messaging_client.run(hub.clone(), lifecycle);
        lifecycle.spawn_task("room homes", hub.clone().reassign_rooms_forever());
        lifecycle.spawn_task("relief", hub.clone().shed_slow_consumers_forever());
        lifecycle.spawn_task("lock-out", hub.clone().lock_out_forever(access.inactive_users()));
        lifecycle.spawn_background("draining sockets", hub.clone().drain_when_told());
        hub
    }

    /// A queue towards a client.
    pub(crate) fn send_queue(&self, id: u64, stream: Option<Arc<TcpStream>>) -> Arc<SendQueue> {
        Arc::new(SendQueue::new(id, stream, &self.shared.send_budget))
    }

    /// Knows of an authenticated connection, until it is [gone](Self::disconnect).
    pub(crate) fn connect(&self, send_queue: &Arc<SendQueue>, user_id: UserId) {
        lock(&self.shared.connections).insert(send_queue.id, (user_id, send_queue.clone()));
        if self.shared.lifecycle.draining().is_cancelled() {
            send_queue.drain();
        }
    }

    /// Forgets a connection and its subscriptions.
    pub(crate) fn disconnect(&self, connection_id: u64, subscribed: &HashSet<RoomId>) {
        lock(&self.shared.connections).remove(&connection_id);
        let mut rooms = lock(&self.shared.rooms);
        for &room_id in subscribed {
            self.take_out(&mut rooms, room_id, connection_id);
        }
    }

    /// Forgets, among the rooms of a connection, those whose subscription has ended.
    pub(crate) fn retain_subscribed(&self, connection_id: u64, subscribed: &mut HashSet<RoomId>) {
        let rooms = lock(&self.shared.rooms);
        subscribed.retain(|room_id| rooms.get(room_id).is_some_and(|room| room.has(connection_id)));
    }

    /// Handles what a replica tells, and gives back its answers to requests: they are to be passed
    /// on after the events.
    pub(crate) async fn handle(&self, response: AttachResponse) -> Vec<Answer> {
        let events = self.shared.encoder.encode(response.events).await;
        let mut rooms = lock(&self.shared.rooms);
        let mut touched = HashSet::new();
        let mut runs: HashMap<RoomId, Vec<(i64, SharedFrames)>> = HashMap::new();
        let mut created = Vec::new();
        let mut deliveries = Vec::new();
        for mut event in events {
            created.extend(event.created_at.filter(|_| rooms.contains_key(&event.room_id)));
            if event.delivery.is_recorded() {
                let subscribers = rooms.get(&event.room_id).map_or(0, Room::subscribers);
                event.delivery.set("parlance.subscribers", subscribers as i64);
                deliveries.push(event.delivery);
            }
            match event.typing_origin {
                None => runs.entry(event.room_id).or_default().push((event.seq, event.frame)),
                Some(origin) => {
                    if let Some(room) = rooms.get(&event.room_id) {
                        room.show_typing(&event.frame, origin);
                    }
                }
            }
        }
        for (room_id, run) in runs {
            if let Some(room) = rooms.get_mut(&room_id) {
                room.offer(run);
                touched.insert(room_id);
            }
        }
        self.shared.delays.record(created);
        for head in response.last_seqs {
            let room_id = RoomId::new(head.room_id);
            if let Some(room) = rooms.get_mut(&room_id) {
                room.note_head(head.last_seq);
                touched.insert(room_id);
            }
        }
        for end in &response.ends {
            self.end(&mut rooms, end);
        }
        self.backfill_where_needed(&mut rooms, touched);
        drop(deliveries);
        response.answers
    }

    /// Handles the answer to a renewed subscription.
    pub(crate) fn renewed(&self, renewal: Renewal) {
        let Renewal { room_id, user_id, outcome } = renewal;
        let mut rooms = lock(&self.shared.rooms);
        let Some(room) = rooms.get_mut(&room_id) else { return };
        match outcome {
            Ok(start) => room.confirm_user(user_id, start.last_seq, start.room_version),
            Err(ErrorCode::NotAMember) => {
                room.expel(user_id, &unsubscribed(room_id, EndReason::Removed))
            }
            Err(ErrorCode::RoomNotFound) => {
                room.expel(user_id, &unsubscribed(room_id, EndReason::RoomDeleted))
            }
            // Nobody can tell right now: delivery goes on, and the next round asks again.
            Err(_) => room.is_unconfirmed = true,
        }
        self.drop_if_empty(&mut rooms, room_id);
        self.backfill_where_needed(&mut rooms, [room_id]);
    }

    /// Asks for the events of each room where they come from now; where that has changed, all its
    /// users are checked again.
    pub(crate) fn reassign_rooms(&self) {
        let messaging_client = &self.shared.messaging_client;
        let mut rooms = lock(&self.shared.rooms);
        for (&room_id, room) in rooms.iter_mut() {
            let owner = messaging_client.owner(room_id);
            if owner.is_none() || (room.owner == owner && !room.is_unconfirmed) {
                continue;
            }
            if !room.users().into_iter().all(|user_id| messaging_client.renew(room_id, user_id)) {
                // Too much is asked already: the next round tries again.
                return;
            }
            room.is_unconfirmed = false;
            let before = std::mem::replace(&mut room.owner, owner);
            if let Some(before) = before.filter(|_| before != owner) {
                messaging_client.release(room_id, before);
            }
        }
    }

    /// Shows on `/metrics` how much there is.
    fn observe(&self) {
        self.gauge("parlance.gateway.sockets", "Authenticated sockets.", |shared| {
            lock(&shared.connections).len()
        });
        self.gauge(
            "parlance.gateway.subscriptions",
            "Subscriptions of sockets to rooms.",
            |shared| lock(&shared.rooms).values().map(Room::subscribers).sum(),
        );
        self.gauge(
            "parlance.gateway.streams",
            "Replicas of messaging that this gateway is attached to.",
            |shared| shared.messaging_client.attached(),
        );
        self.gauge("parlance.gateway.rooms", "Rooms with a subscriber.", |shared| {
            lock(&shared.rooms).len()
        });
        self.gauge(
            "parlance.gateway.queued_bytes",
            "Memory of what waits for clients, in bytes.",
            |shared| shared.send_budget.bytes(),
        );
        self.gauge(
            "parlance.gateway.queued_bytes.limit",
            "How much may wait for clients, in bytes.",
            |shared| shared.send_budget.max_bytes(),
        );
    }

    fn gauge(&self, name: &'static str, description: &'static str, value: fn(&Shared) -> usize) {
        let shared = Arc::downgrade(&self.shared);
        opentelemetry::global::meter("parlance")
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |gauge| {
                if let Some(shared) = shared.upgrade() {
                    gauge.observe(value(&shared) as u64, &[]);
                }
            })
            .build();
    }

    fn end(&self, rooms: &mut HashMap<RoomId, Room>, end: &MembershipEnd) {
        let room_id = RoomId::new(end.room_id);
        if let Some(room) = rooms.get_mut(&room_id) {
            let notice = unsubscribed(room_id, end.reason());
            room.end(end.user_id.map(UserId::new), end.room_version, &notice);
            self.drop_if_empty(rooms, room_id);
        }
    }

    pub(crate) fn take_out(
        &self,
        rooms: &mut HashMap<RoomId, Room>,
        room_id: RoomId,
        connection_id: u64,
    ) {
        if rooms.get_mut(&room_id).is_some_and(|room| room.leave(connection_id)) {
            self.drop_if_empty(rooms, room_id);
        }
    }

    /// Forgets a room without subscribers. Under the lock, so that the release cannot overtake a
    /// new subscription.
    fn drop_if_empty(&self, rooms: &mut HashMap<RoomId, Room>, room_id: RoomId) {
        if rooms.get(&room_id).is_some_and(Room::is_empty)
            && let Some(room) = rooms.remove(&room_id)
            && let Some(owner) = room.owner
        {
            self.shared.messaging_client.release(room_id, owner);
        }
    }

    async fn reassign_rooms_forever(self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(REASSIGN_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.reassign_rooms();
        }
    }

    /// Cuts clients that do not read while too much waits for all of them.
    async fn shed_slow_consumers_forever(self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(SHED_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(stalled_since) = Instant::now().checked_sub(STALL_TIMEOUT) else { continue };
            let connections = lock(&self.shared.connections);
            let outbounds = connections.values().map(|(_, send_queue)| &**send_queue);
            self.shared.send_budget.shed_slow_consumers(outbounds, stalled_since);
        }
    }

    /// Tells all connections when the process drains.
    async fn drain_when_told(self) -> anyhow::Result<()> {
        self.shared.lifecycle.draining().cancelled().await;
        lock(&self.shared.connections).values().for_each(|(_, send_queue)| send_queue.drain());
        Ok(())
    }

    /// Closes the sockets of users as they are locked out.
    async fn lock_out_forever(
        self,
        mut inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    ) -> anyhow::Result<()> {
        let notice = refusal(&ErrorFrame::of_code(None, ErrorCode::InactiveUser));
        loop {
            let inactive = inactive_users.borrow_and_update().clone();
            for (user_id, send_queue) in lock(&self.shared.connections).values() {
                if inactive.contains(user_id) {
                    send_queue.push(notice.clone());
                    send_queue.close(CloseCode::UNAUTHENTICATED);
                }
            }
            inactive_users.changed().await?;
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsubscribed(room_id: RoomId, reason: EndReason) -> Frames {
    let reason = match reason {
        EndReason::Left => "left",
        EndReason::Removed | EndReason::Unspecified => "removed",
        EndReason::RoomDeleted => "room_deleted",
    };
    ServerFrame::Unsubscribed { room_id: room_id.get(), reason }.encode()
}

fn fills() -> Counter<u64> {
    let fills = opentelemetry::global::meter("parlance")
        .u64_counter("parlance.gateway.fills")
        .with_description("Pages read from the store to fill gaps in the events of rooms.")
        .build();
    fills.add(0, &[]);
    fills
}
