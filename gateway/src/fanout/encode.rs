//! Encodes events as frames that all subscribers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{RoomId, Timestamp, UserId};
use parlance_proto::messaging::Event;
use parlance_proto::messaging::event::Kind;
use parlance_runtime::trace::{Span, SpanBuilder, Trace};
use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout};

use crate::api::dto::{Message, User};
use crate::cache::users::UserCache;
use crate::lock::lock;
use crate::ws::protocol::ServerFrame;
use crate::ws::send_budget::{SendBudget, SharedFrames};

/// How long events wait for auth to return an uncached sender.
const SENDER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long auth is not asked for senders after it has failed.
const SENDER_BACKOFF: Duration = Duration::from_secs(2);
/// How many users that auth does not know are remembered, and for how long.
const MAX_UNKNOWN: usize = 10_000;
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// Encodes events, with the users they name.
pub(super) struct Encoder {
    users: UserCache,
    send_budget: SendBudget,
    /// The end of the backoff, if auth has failed.
    retry_senders_at: Mutex<Option<Instant>>,
    /// Users that auth does not know, and when it said so.
    unknown: Cache<UserId, Instant>,
}

/// The users that events name.
type Users = HashMap<UserId, Arc<User>>;

/// The `seq` and the frame of a change.
pub(super) type Change = (i64, SharedFrames);

pub(super) struct EncodedEvent {
    pub(super) room_id: RoomId,
    pub(super) seq: i64,
    /// When the message was stored; none for events other than a new message.
    pub(super) created_at: Option<Timestamp>,
    pub(super) frame: SharedFrames,
    /// Who types, for a typing event.
    pub(super) typing: Option<Typist>,
    /// From the arrival to the send queues.
    pub(super) span: Span,
}

/// A user who types.
#[derive(Clone, Copy)]
pub(super) struct Typist {
    pub(super) user_id: UserId,
    /// The connection that they type on, which does not get the event.
    pub(super) origin: u64,
}

impl Encoder {
    pub(super) fn new(users: UserCache, send_budget: SendBudget) -> Self {
        let unknown = Cache::new(MAX_UNKNOWN);
        Self { users, send_budget, retry_senders_at: Mutex::default(), unknown }
    }

    /// Encodes events in their order, after a look-up of users that are not cached. A user that
    /// auth does not return in time is built from the event. Events of a kind that this version
    /// does not know are dropped.
    pub(super) async fn encode(&self, events: Vec<Event>) -> Vec<EncodedEvent> {
        let mut users = self.known_users(&events);
        let named: Vec<UserId> =
            events.iter().filter_map(user).map(|(user_id, _)| user_id).collect();
        let unknown: Vec<UserId> =
            named.into_iter().filter(|user_id| !users.contains_key(user_id)).collect();
        if !unknown.is_empty() {
            users.extend(self.look_up(unknown).await);
        }
        self.encode_now(events, users)
    }

    /// Encodes events in their order, without a look-up of users that are not cached: those are
    /// built from the event.
    pub(super) fn encode_now(&self, events: Vec<Event>, mut users: Users) -> Vec<EncodedEvent> {
        for (user_id, name) in events.iter().filter_map(user) {
            users.entry(user_id).or_insert_with(|| Arc::new(placeholder(user_id, name)));
        }
        let encode = |event: Event| {
            let span = delivery_span(&event);
            self.encode_event(event, &users, span)
        };
        events.into_iter().filter_map(encode).collect()
    }

    /// Encodes the events that need no look-up, and returns the others.
    pub(super) fn encode_known(&self, events: Vec<Event>) -> (Vec<EncodedEvent>, Vec<Event>) {
        let users = self.known_users(&events);
        let is_known = |event: &Event| user(event).is_none_or(|(id, _)| users.contains_key(&id));
        if events.iter().all(is_known) {
            return (self.encode_now(events, users), Vec::new());
        }
        let (known, others) = events.into_iter().partition(is_known);
        (self.encode_now(known, users), others)
    }

    fn encode_event(&self, event: Event, users: &Users, span: Span) -> Option<EncodedEvent> {
        let user = user(&event).and_then(|(user_id, _)| users.get(&user_id));
        let Event { room_id, seq, .. } = event;
        let (mut created_at, mut typist) = (None, None);
        let frame = match (event.kind?, user) {
            (Kind::Created(message), Some(sender)) => {
                created_at = Some(Timestamp::from_micros(message.created_at_us));
                ServerFrame::Message { message: Message::from((&message, &**sender)) }.encode()
            }
            (Kind::Edited(message), Some(sender)) => {
                let message = Message::from((&message, &**sender));
                ServerFrame::MessageEdited { message, seq }.encode()
            }
            (Kind::DeletedMessageId(message_id), _) => {
                ServerFrame::MessageDeleted { room_id, message_id, seq }.encode()
            }
            (Kind::Typing(typing), Some(user)) => {
                typist = Some(Typist { user_id: user.id, origin: typing.origin });
                ServerFrame::Typing { room_id, user }.encode()
            }
            _ => return None,
        };
        let frame = if span.is_recorded() {
            let write = span.start_span(|| SpanBuilder::internal("write to sockets"));
            self.send_budget.share_with_spans(frame, vec![Arc::new(write)])
        } else {
            self.send_budget.share(frame)
        };
        let room_id = RoomId::new(room_id);
        Some(EncodedEvent { room_id, seq, created_at, frame, typing: typist, span })
    }

    /// Returns the users that the events name and that need no look-up: they are cached, or auth
    /// does not know them or does not answer.
    fn known_users(&self, events: &[Event]) -> Users {
        let mut users = Users::new();
        for (user_id, name) in events.iter().filter_map(user) {
            if users.contains_key(&user_id) {
                continue;
            }
            let stand_in =
                || self.is_unknown(user_id).then(|| Arc::new(placeholder(user_id, name)));
            users.extend(self.users.cached(user_id).or_else(stand_in).map(|user| (user_id, user)));
        }
        users
    }

    /// Returns true if it is no use to ask auth for this user now.
    fn is_unknown(&self, user_id: UserId) -> bool {
        let has_failed = lock(&self.retry_senders_at).is_some_and(|at| at > Instant::now());
        has_failed || self.unknown.get(&user_id).is_some_and(|at| at.elapsed() < UNKNOWN_FOR)
    }

    async fn look_up(&self, user_ids: Vec<UserId>) -> Users {
        match timeout(SENDER_TIMEOUT, self.users.by_ids(user_ids.iter().copied())).await {
            Ok(Ok(found)) => {
                let unknown = user_ids.into_iter().filter(|user_id| !found.contains_key(user_id));
                unknown.for_each(|user_id| self.unknown.insert(user_id, Instant::now()));
                found.into_iter().collect()
            }
            _ => {
                *lock(&self.retry_senders_at) = Some(Instant::now() + SENDER_BACKOFF);
                Users::new()
            }
        }
    }
}

/// Starts the delivery span of an event whose trace is recorded.
fn delivery_span(event: &Event) -> Span {
    if event.traceparent.is_empty() {
        return Span::default();
    }
    Trace::follow(&event.traceparent, || {
        SpanBuilder::consumer("deliver event").with("parlance.room.id", event.room_id)
    })
}

/// Returns the id and name of the user that an event names.
fn user(event: &Event) -> Option<(UserId, &str)> {
    match event.kind.as_ref()? {
        Kind::Created(message) | Kind::Edited(message) => {
            Some((UserId::new(message.sender_id), &message.sender_name))
        }
        Kind::Typing(user) => Some((UserId::new(user.user_id), &user.username)),
        Kind::DeletedMessageId(_) => None,
    }
}

/// Makes a user with unknown times.
fn placeholder(id: UserId, username: &str) -> User {
    let unknown = Timestamp::from_micros(0);
    User::new(id, username.to_owned(), true, unknown, unknown)
}
