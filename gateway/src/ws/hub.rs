//! Who is subscribed to what on this gateway, and the way of an event from a stream of messaging to the sockets.
//!
//! The JSON of an event is encoded once and shared by all its subscribers. Whatever order the streams deliver in, a room's events
//! leave in `seq` order, each once and without holes: see [`Room`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use parlance_core::{ErrorCode, RoomId, Timestamp, UserId};
use parlance_proto::messaging::event::Kind;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{
    Answer, AttachResponse, EndReason, Event, MembershipEnd, ReadChangesRequest, Subscribed,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::code_of_status;
use parlance_runtime::grpc::Client;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::outbound::{CloseCode, Outbound};
use super::protocol::{Addition, Refusal, ServerFrame, refusal, success};
use super::room::Room;
use super::upstream::{Renewal, Upstream};
use crate::access::Access;
use crate::objects::{Message, User};
use crate::users::Users;

/// More missed events than this are not replayed: the client reloads through history.
const MAX_REPLAY: i64 = 1_000;
/// An event that is on its way in another order than sent fills the hole by itself in this time.
const HOLE_PATIENCE: Duration = Duration::from_millis(10);
/// Holes filled at once.
const MAX_FILLING: usize = 32;
const FILL_RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How long live events wait for the user object of a sender nobody has asked for before.
const SENDER_LIMIT: Duration = Duration::from_millis(300);
/// How long unknown senders are not asked for after that was in vain.
const SENDER_PAUSE: Duration = Duration::from_secs(2);
/// How often rooms whose stream was lost look for another one.
const MOVE_INTERVAL: Duration = Duration::from_millis(250);

/// The subscriptions of this gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    messaging: MessagingServiceClient<Client>,
    users: Users,
    lifecycle: Lifecycle,
    /// Held to copy frames into queues, never across an await.
    rooms: Mutex<HashMap<RoomId, Room>>,
    connections: Mutex<HashMap<u64, (UserId, Arc<Outbound>)>>,
    filling: Semaphore,
    /// Until when senders who are unknown here are not asked for.
    senders_asked_from: Mutex<Option<Instant>>,
}

/// An event on its way to the sockets.
struct Encoded {
    room_id: RoomId,
    seq: i64,
    frame: Utf8Bytes,
    /// The connection that is not told, for signs of typing.
    typing_origin: Option<u64>,
}

/// Events from the store, in `seq` order.
struct Page {
    events: Vec<(i64, Utf8Bytes)>,
    /// Up to here nothing is missing.
    complete_up_to: i64,
}

impl Hub {
    /// Starts the tasks that keep subscriptions where they belong and close the sockets of users who are locked out.
    pub(crate) fn start(
        upstream: Upstream,
        messaging: MessagingServiceClient<Client>,
        users: Users,
        access: &Access,
        lifecycle: &Lifecycle,
    ) -> Self {
        let shared = Shared {
            upstream: upstream.clone(),
            messaging,
            users,
            lifecycle: lifecycle.clone(),
            rooms: Mutex::default(),
            connections: Mutex::default(),
            filling: Semaphore::new(MAX_FILLING),
            senders_asked_from: Mutex::default(),
        };
        let hub = Self { shared: Arc::new(shared) };
        hub.observe();
        upstream.run(hub.clone(), lifecycle);
        lifecycle.spawn_companion("room homes", hub.clone().move_home_forever());
        lifecycle.spawn_companion("lock-out", hub.clone().lock_out_forever(access.inactive_users()));
        hub
    }

    /// Knows of an authenticated connection, until it is [gone](Self::disconnect).
    pub(super) fn connect(&self, outbound: &Arc<Outbound>, user_id: UserId) {
        lock(&self.shared.connections).insert(outbound.id, (user_id, outbound.clone()));
    }

    /// Forgets a connection and its subscriptions.
    pub(super) fn disconnect(&self, connection_id: u64, subscribed: &HashSet<RoomId>) {
        lock(&self.shared.connections).remove(&connection_id);
        let mut rooms = lock(&self.shared.rooms);
        for &room_id in subscribed {
            self.take_out(&mut rooms, room_id, connection_id);
        }
    }

    /// Forgets, among the rooms of a connection, those whose subscription has ended.
    pub(super) fn retain_subscribed(&self, connection_id: u64, subscribed: &mut HashSet<RoomId>) {
        let rooms = lock(&self.shared.rooms);
        subscribed.retain(|room_id| rooms.get(room_id).is_some_and(|room| room.has(connection_id)));
    }

    /// Subscribes a connection to a room. The answer, what was missed and what comes are queued in this order; a refusal is left
    /// to the caller.
    pub(super) async fn subscribe(
        &self,
        outbound: &Arc<Outbound>,
        user_id: UserId,
        room_id: RoomId,
        after_seq: Option<i64>,
        reference: Option<&str>,
    ) -> Result<(), ErrorCode> {
        loop {
            let was_live = self.join(outbound, user_id, room_id);
            let answer = self.shared.upstream.subscribe(room_id, user_id).answer().await;
            let outcome = match answer {
                Ok(start) if was_live => {
                    let answer = subscribed(room_id, start.head_seq, false, reference);
                    if self.admit(outbound, room_id, &start, answer) {
                        return Ok(());
                    }
                    // The subscription has ended meanwhile; whoever is a member again begins a new one.
                    continue;
                }
                Ok(start) => self.begin(outbound, room_id, start, after_seq, reference).await,
                // Who is subscribed stays so while nobody can tell whether he may.
                Err(ErrorCode::Unavailable) if was_live => return Err(ErrorCode::Unavailable),
                Err(code) => Err(code),
            };
            if outcome.is_err() {
                self.take_out(&mut lock(&self.shared.rooms), room_id, outbound.id);
            }
            return outcome;
        }
    }

    /// Ends a subscription, if there is one; nothing of the room is queued behind the answer.
    pub(super) fn unsubscribe(&self, outbound: &Outbound, room_id: RoomId, answer: Utf8Bytes) {
        let mut rooms = lock(&self.shared.rooms);
        self.take_out(&mut rooms, room_id, outbound.id);
        outbound.push(answer);
    }

    /// Handles what a replica tells, and gives back its answers to requests: they are to be passed on after the events.
    pub(super) async fn handle(&self, response: AttachResponse) -> Vec<Answer> {
        let events = self.encode(response.events).await;
        let mut rooms = lock(&self.shared.rooms);
        let mut touched = HashSet::new();
        for event in events {
            let Some(room) = rooms.get_mut(&event.room_id) else { continue };
            match event.typing_origin {
                Some(origin) => room.show_typing(&event.frame, origin),
                None => room.offer(event.seq, event.frame),
            }
            touched.insert(event.room_id);
        }
        for head in response.heads {
            let room_id = RoomId::new(head.room_id);
            if let Some(room) = rooms.get_mut(&room_id) {
                room.note_head(head.head_seq);
                touched.insert(room_id);
            }
        }
        for end in &response.ends {
            self.end(&mut rooms, end);
        }
        self.fill_where_needed(&mut rooms, touched);
        response.answers
    }

    /// Handles the answer to a renewed subscription.
    pub(super) fn renewed(&self, renewal: Renewal) {
        let Renewal { room_id, user_id, outcome } = renewal;
        let mut rooms = lock(&self.shared.rooms);
        let Some(room) = rooms.get_mut(&room_id) else { return };
        match outcome {
            Ok(start) => room.confirm_user(user_id, start.head_seq, start.room_version),
            Err(ErrorCode::NotAMember) => room.expel(user_id, &unsubscribed(room_id, EndReason::Removed)),
            Err(ErrorCode::RoomNotFound) => {
                room.expel(user_id, &unsubscribed(room_id, EndReason::RoomDeleted))
            }
            // Nobody can tell right now: delivery goes on, and the next round asks again.
            Err(_) => room.is_unconfirmed = true,
        }
        self.drop_if_empty(&mut rooms, room_id);
        self.fill_where_needed(&mut rooms, [room_id]);
    }

    /// Asks for the events of each room where they come from now; where that has changed, all its users are checked again.
    pub(super) fn move_home(&self) {
        let upstream = &self.shared.upstream;
        let mut rooms = lock(&self.shared.rooms);
        for (&room_id, room) in rooms.iter_mut() {
            let home = upstream.home(room_id);
            if home.is_none() || (room.home == home && !room.is_unconfirmed) {
                continue;
            }
            if !room.users().into_iter().all(|user_id| upstream.renew(room_id, user_id)) {
                // Too much is asked already: the next round tries again.
                return;
            }
            room.is_unconfirmed = false;
            let before = std::mem::replace(&mut room.home, home);
            if let Some(before) = before.filter(|_| before != home) {
                upstream.release(room_id, before);
            }
        }
    }

    /// Shows on `/metrics` how many sockets are authenticated, and how many rooms have a subscriber.
    fn observe(&self) {
        let meter = opentelemetry::global::meter("parlance");
        let shared = Arc::downgrade(&self.shared);
        meter
            .u64_observable_gauge("parlance.gateway.sockets")
            .with_description("Authenticated sockets.")
            .with_callback(move |gauge| {
                if let Some(shared) = shared.upgrade() {
                    gauge.observe(lock(&shared.connections).len() as u64, &[]);
                }
            })
            .build();
        let shared = Arc::downgrade(&self.shared);
        meter
            .u64_observable_gauge("parlance.gateway.rooms")
            .with_description("Rooms with a subscriber.")
            .with_callback(move |gauge| {
                if let Some(shared) = shared.upgrade() {
                    gauge.observe(lock(&shared.rooms).len() as u64, &[]);
                }
            })
            .build();
    }

    /// Takes a connection into a room, buffering; whether it was live already.
    fn join(&self, outbound: &Arc<Outbound>, user_id: UserId, room_id: RoomId) -> bool {
        let mut rooms = lock(&self.shared.rooms);
        let room = rooms.entry(room_id).or_default();
        if room.home.is_none() {
            room.home = self.shared.upstream.home(room_id);
        }
        room.join(outbound, user_id);
        room.is_live(outbound.id)
    }

    /// Answers a first subscription: with what was missed, then live.
    async fn begin(
        &self,
        outbound: &Outbound,
        room_id: RoomId,
        start: Subscribed,
        after_seq: Option<i64>,
        reference: Option<&str>,
    ) -> Result<(), ErrorCode> {
        let head = start.head_seq;
        let missed = after_seq.map(|after| head - after);
        let resync = missed.is_some_and(|missed| !(0..=MAX_REPLAY).contains(&missed));
        let after = after_seq.filter(|_| !resync).unwrap_or(head);
        // Before the answer, so that a store that is away refuses the subscription.
        let first_page = self.read_page(room_id, after, head).await?;
        if !self.admit(outbound, room_id, &start, subscribed(room_id, head, resync, reference)) {
            return Err(ErrorCode::NotAMember);
        }
        if self.catch_up(outbound, room_id, head, first_page).await.is_err() {
            // The answer was given; the client comes back with the last number it has seen.
            outbound.close(CloseCode::TRY_AGAIN);
        }
        Ok(())
    }

    fn admit(&self, outbound: &Outbound, room_id: RoomId, start: &Subscribed, answer: Utf8Bytes) -> bool {
        let mut rooms = lock(&self.shared.rooms);
        let is_admitted = rooms
            .get_mut(&room_id)
            .is_some_and(|room| room.admit(outbound.id, start.head_seq, start.room_version, answer));
        self.fill_where_needed(&mut rooms, [room_id]);
        is_admitted
    }

    /// Tells a subscriber everything up to the head, as fast as it reads, and lets it go live. Ends early when the subscription
    /// ends.
    async fn catch_up(
        &self,
        outbound: &Outbound,
        room_id: RoomId,
        mut head: i64,
        first_page: Page,
    ) -> Result<(), ErrorCode> {
        let mut page = first_page;
        loop {
            for (_, frame) in page.events {
                outbound.has_space().await;
                let rooms = lock(&self.shared.rooms);
                if !rooms.get(&room_id).is_some_and(|room| room.tell(outbound.id, frame)) {
                    return Ok(());
                }
            }
            if page.complete_up_to >= head {
                outbound.has_space().await;
                match self.go_live(outbound, room_id, head) {
                    Some(further) => head = further,
                    None => return Ok(()),
                }
            }
            page = self.read_page(room_id, page.complete_up_to, head).await?;
        }
    }

    fn go_live(&self, outbound: &Outbound, room_id: RoomId, floor: i64) -> Option<i64> {
        lock(&self.shared.rooms).get_mut(&room_id)?.go_live(outbound.id, floor)
    }

    fn end(&self, rooms: &mut HashMap<RoomId, Room>, end: &MembershipEnd) {
        let room_id = RoomId::new(end.room_id);
        if let Some(room) = rooms.get_mut(&room_id) {
            let notice = unsubscribed(room_id, end.reason());
            room.end(end.user_id.map(UserId::new), end.room_version, &notice);
            self.drop_if_empty(rooms, room_id);
        }
    }

    fn take_out(&self, rooms: &mut HashMap<RoomId, Room>, room_id: RoomId, connection_id: u64) {
        if rooms.get_mut(&room_id).is_some_and(|room| room.leave(connection_id)) {
            self.drop_if_empty(rooms, room_id);
        }
    }

    /// Forgets a room without subscribers. Under the lock, so that the release cannot overtake a new subscription.
    fn drop_if_empty(&self, rooms: &mut HashMap<RoomId, Room>, room_id: RoomId) {
        if rooms.get(&room_id).is_some_and(Room::is_empty)
            && let Some(room) = rooms.remove(&room_id)
            && let Some(home) = room.home
        {
            self.shared.upstream.release(room_id, home);
        }
    }

    fn fill_where_needed(
        &self,
        rooms: &mut HashMap<RoomId, Room>,
        touched: impl IntoIterator<Item = RoomId>,
    ) {
        for room_id in touched {
            if rooms.get_mut(&room_id).is_some_and(Room::begins_filling) {
                let hub = self.clone();
                self.shared.lifecycle.spawn(async move { hub.fill(room_id).await });
            }
        }
    }

    /// Fills a room's holes from the store until there is none.
    async fn fill(&self, room_id: RoomId) {
        tokio::time::sleep(HOLE_PATIENCE).await;
        while let Some((after, up_to)) = self.hole(room_id) {
            let Ok(_permit) = self.shared.filling.acquire().await else { return };
            match self.read_page(room_id, after, up_to).await {
                Ok(page) => {
                    if let Some(room) = lock(&self.shared.rooms).get_mut(&room_id) {
                        room.fill(page.events, page.complete_up_to);
                    }
                }
                Err(code) => {
                    tracing::debug!(room.id = %room_id, error.code = code.name(), "a hole could not be filled yet");
                    tokio::time::sleep(FILL_RETRY_PAUSE).await;
                }
            }
        }
    }

    fn hole(&self, room_id: RoomId) -> Option<(i64, i64)> {
        lock(&self.shared.rooms).get_mut(&room_id)?.hole()
    }

    /// What changed above `after_seq` and up to `up_to_seq`, or the first of it.
    async fn read_page(&self, room_id: RoomId, after_seq: i64, up_to_seq: i64) -> Result<Page, ErrorCode> {
        if after_seq >= up_to_seq {
            return Ok(Page { events: Vec::new(), complete_up_to: up_to_seq });
        }
        let request = ReadChangesRequest { room_id: room_id.get(), after_seq, up_to_seq };
        let answer = self.shared.messaging.clone().read_changes(request).await;
        let answer = answer.map_err(|status| code_of_status(&status))?.into_inner();
        let events = self.encode(answer.events).await;
        let events = events.into_iter().map(|event| (event.seq, event.frame)).collect();
        Ok(Page { events, complete_up_to: answer.complete_up_to_seq.max(after_seq + 1) })
    }

    /// Turns events into frames; those of rooms nobody is subscribed to are left to be dropped.
    async fn encode(&self, events: Vec<Event>) -> Vec<Encoded> {
        if events.is_empty() {
            return Vec::new();
        }
        let people = self.people(&events).await;
        events.into_iter().filter_map(|event| encode(event, &people)).collect()
    }

    /// The users whom the events name. One who cannot be looked up in time is made of what messaging knows: no event is held
    /// back for that.
    async fn people(&self, events: &[Event]) -> HashMap<UserId, Arc<User>> {
        let mut people = HashMap::new();
        let mut unknown = HashMap::new();
        for (user_id, name) in events.iter().filter_map(person_of) {
            match self.shared.users.cached(user_id) {
                Some(user) => drop(people.insert(user_id, user)),
                None => drop(unknown.insert(user_id, name)),
            }
        }
        if !unknown.is_empty() && self.may_ask_for_senders() {
            let looked_up = self.shared.users.by_ids(unknown.keys().copied());
            match tokio::time::timeout(SENDER_LIMIT, looked_up).await {
                Ok(Ok(users)) => people.extend(users),
                _ => *lock(&self.shared.senders_asked_from) = Some(Instant::now() + SENDER_PAUSE),
            }
        }
        for (user_id, name) in unknown {
            people.entry(user_id).or_insert_with(|| Arc::new(stand_in(user_id, name)));
        }
        people
    }

    fn may_ask_for_senders(&self) -> bool {
        lock(&self.shared.senders_asked_from).is_none_or(|from| from <= Instant::now())
    }

    async fn move_home_forever(self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(MOVE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.move_home();
        }
    }

    /// Closes the sockets of users as they are locked out.
    async fn lock_out_forever(
        self,
        mut inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    ) -> anyhow::Result<()> {
        let notice = refusal(&Refusal::of_code(None, ErrorCode::InactiveUser));
        loop {
            let inactive = inactive_users.borrow_and_update().clone();
            for (user_id, outbound) in lock(&self.shared.connections).values() {
                if inactive.contains(user_id) {
                    outbound.push(notice.clone());
                    outbound.close(CloseCode::UNAUTHENTICATED);
                }
            }
            inactive_users.changed().await?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn subscribed(room_id: RoomId, head_seq: i64, resync: bool, reference: Option<&str>) -> Utf8Bytes {
    let addition =
        Addition { room_id: Some(room_id.get()), head_seq: Some(head_seq), resync, ..Addition::default() };
    success(reference, &format!("Subscribed to room {room_id}"), addition)
}

fn unsubscribed(room_id: RoomId, reason: EndReason) -> Utf8Bytes {
    let reason = match reason {
        EndReason::Left => "left",
        EndReason::Removed | EndReason::Unspecified => "removed",
        EndReason::RoomDeleted => "room_deleted",
    };
    ServerFrame::Unsubscribed { room_id: room_id.get(), reason }.encode()
}

/// The user whom an event names, with the name that messaging knows.
fn person_of(event: &Event) -> Option<(UserId, &str)> {
    match event.kind.as_ref()? {
        Kind::Created(message) | Kind::Edited(message) => {
            Some((UserId::new(message.sender_id), &message.sender_name))
        }
        Kind::Typing(user) => Some((UserId::new(user.user_id), &user.username)),
        Kind::DeletedMessageId(_) => None,
    }
}

/// What is known of a user while auth is away. The times are unknown.
fn stand_in(id: UserId, username: &str) -> User {
    let unknown = Timestamp::from_micros(0);
    User { id, username: username.to_owned(), is_active: true, created_at: unknown, updated_at: unknown }
}

/// Nothing for an event of a kind that this version does not know.
fn encode(event: Event, people: &HashMap<UserId, Arc<User>>) -> Option<Encoded> {
    let person = person_of(&event).and_then(|(user_id, _)| people.get(&user_id));
    let mut typing_origin = None;
    let frame = match (event.kind?, person) {
        (Kind::Created(message), Some(sender)) => {
            ServerFrame::Message { message: Message::from((&message, &**sender)) }.encode()
        }
        (Kind::Edited(message), Some(sender)) => {
            ServerFrame::MessageEdited { message: Message::from((&message, &**sender)), seq: event.seq }
                .encode()
        }
        (Kind::DeletedMessageId(message_id), _) => {
            ServerFrame::MessageDeleted { room_id: event.room_id, message_id, seq: event.seq }.encode()
        }
        (Kind::Typing(typing), Some(user)) => {
            typing_origin = Some(typing.origin);
            ServerFrame::Typing { room_id: event.room_id, user }.encode()
        }
        _ => return None,
    };
    Some(Encoded { room_id: RoomId::new(event.room_id), seq: event.seq, frame, typing_origin })
}
