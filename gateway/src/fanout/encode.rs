//! Turning events into the frames that subscribers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{RoomId, Timestamp, UserId};
use parlance_proto::messaging::Event;
use parlance_proto::messaging::event::Kind;
use parlance_runtime::trace::{Span, SpanBuilder, Trace};
use tokio::time::Instant;

use crate::api::dto::{Message, User};
use crate::cache::users::UserCache;
use crate::fanout::hub::lock;
use crate::ws::protocol::ServerFrame;
use crate::ws::send_budget::{SendBudget, SharedFrames};

/// How long live events wait for the user object of a sender nobody has asked for before. An auth
/// that is away says so at once; one that takes this long hangs.
const SENDER_LIMIT: Duration = Duration::from_secs(1);
/// How long unknown senders are not asked for after that was in vain.
const SENDER_PAUSE: Duration = Duration::from_secs(2);

/// Encodes events, with the users whom they name.
#[derive(Debug)]
pub(crate) struct Encoder {
    users: UserCache,
    send_budget: SendBudget,
    /// Until when senders who are unknown here are not asked for.
    senders_asked_from: Mutex<Option<Instant>>,
}

/// An event on its way to the sockets.
pub(crate) struct Encoded {
    pub(crate) room_id: RoomId,
    pub(crate) seq: i64,
    /// When the message was stored, if it is new.
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) frame: SharedFrames,
    /// The connection that is not told, for signs of typing.
    pub(crate) typing_origin: Option<u64>,
    /// From its arrival to the queues of the sockets.
    pub(crate) delivery: Span,
}

impl Encoder {
    pub(crate) fn new(users: UserCache, send_budget: SendBudget) -> Self {
        Self { users, send_budget, senders_asked_from: Mutex::default() }
    }

    /// Turns events into frames; those of rooms nobody is subscribed to are left to be dropped.
    pub(crate) async fn encode(&self, events: Vec<Event>) -> Vec<Encoded> {
        if events.is_empty() {
            return Vec::new();
        }
        let mut deliveries = deliveries(&events).into_iter().peekable();
        let people = self.people(&events).await;
        let encode = |(place, event)| {
            let delivery = deliveries.next_if(|(of, _)| *of == place).map(|(_, span)| span);
            self.encode_one(event, &people, delivery.unwrap_or_default())
        };
        events.into_iter().enumerate().filter_map(encode).collect()
    }

    /// Nothing for an event of a kind that this version does not know.
    fn encode_one(
        &self,
        event: Event,
        people: &HashMap<UserId, Arc<User>>,
        delivery: Span,
    ) -> Option<Encoded> {
        let person = person_of(&event).and_then(|(user_id, _)| people.get(&user_id));
        let (mut created_at, mut typing_origin) = (None, None);
        let frame = match (event.kind?, person) {
            (Kind::Created(message), Some(sender)) => {
                created_at = Some(Timestamp::from_micros(message.created_at_us));
                ServerFrame::Message { message: Message::from((&message, &**sender)) }.encode()
            }
            (Kind::Edited(message), Some(sender)) => ServerFrame::MessageEdited {
                message: Message::from((&message, &**sender)),
                seq: event.seq,
            }
            .encode(),
            (Kind::DeletedMessageId(message_id), _) => {
                ServerFrame::MessageDeleted { room_id: event.room_id, message_id, seq: event.seq }
                    .encode()
            }
            (Kind::Typing(typing), Some(user)) => {
                typing_origin = Some(typing.origin);
                ServerFrame::Typing { room_id: event.room_id, user }.encode()
            }
            _ => return None,
        };
        let frame = if delivery.is_recorded() {
            let writing = delivery.start_span(|| SpanBuilder::internal("write to sockets"));
            self.send_budget.share_recorded(frame, vec![Arc::new(writing)])
        } else {
            self.send_budget.share(frame)
        };
        Some(Encoded {
            room_id: RoomId::new(event.room_id),
            seq: event.seq,
            created_at,
            frame,
            typing_origin,
            delivery,
        })
    }

    /// The users whom the events name. One who cannot be looked up in time is made of what
    /// messaging knows: no event is held back for that.
    async fn people(&self, events: &[Event]) -> HashMap<UserId, Arc<User>> {
        let mut people = HashMap::new();
        let mut unknown = HashMap::new();
        for (user_id, name) in events.iter().filter_map(person_of) {
            match self.users.cached(user_id) {
                Some(user) => drop(people.insert(user_id, user)),
                // Auth knows nobody with this id, and shall not be asked again and again.
                None if user_id == UserId::CANARY => {
                    people.insert(user_id, Arc::new(stand_in(user_id, name)));
                }
                None => drop(unknown.insert(user_id, name)),
            }
        }
        if !unknown.is_empty() && self.may_ask_for_senders() {
            let looked_up = self.users.by_ids(unknown.keys().copied());
            match tokio::time::timeout(SENDER_LIMIT, looked_up).await {
                Ok(Ok(users)) => people.extend(users),
                _ => *lock(&self.senders_asked_from) = Some(Instant::now() + SENDER_PAUSE),
            }
        }
        for (user_id, name) in unknown {
            people.entry(user_id).or_insert_with(|| Arc::new(stand_in(user_id, name)));
        }
        people
    }

    fn may_ask_for_senders(&self) -> bool {
        lock(&self.senders_asked_from).is_none_or(|from| from <= Instant::now())
    }
}

/// Begins to deliver those events that are recorded, each with its place among all.
fn deliveries(events: &[Event]) -> Vec<(usize, Span)> {
    let recorded = events.iter().enumerate().filter(|(_, event)| !event.traceparent.is_empty());
    let begin = |(place, event): (usize, &Event)| {
        let delivery =
            || SpanBuilder::consumer("deliver event").with("parlance.room.id", event.room_id);
        (place, Trace::follow(&event.traceparent, delivery))
    };
    recorded.map(begin).collect()
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

/// What is known of a user whom auth was not asked for. The times are unknown.
fn stand_in(id: UserId, username: &str) -> User {
    let unknown = Timestamp::from_micros(0);
    User::new(id, username.to_owned(), true, unknown, unknown)
}
