//! Encodes events as frames that all subscribers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{RoomId, Timestamp, UserId};
use parlance_proto::messaging::Event;
use parlance_proto::messaging::event::Kind;
use parlance_runtime::trace::{Span, SpanBuilder, Trace};
use tokio::time::{Instant, timeout};

use crate::api::dto::{Message, User};
use crate::cache::users::UserCache;
use crate::lock::lock;
use crate::ws::protocol::ServerFrame;
use crate::ws::send_budget::{SendBudget, SharedFrames};

/// How long live events wait for auth to return an uncached sender.
const SENDER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long auth is not asked for senders after it has failed.
const SENDER_BACKOFF: Duration = Duration::from_secs(2);

/// Encodes events, with the users they name.
pub(super) struct Encoder {
    users: UserCache,
    send_budget: SendBudget,
    /// The end of the backoff, if auth has failed.
    retry_senders_at: Mutex<Option<Instant>>,
}

/// The `seq` and the frame of a change.
pub(super) type Change = (i64, SharedFrames);

pub(super) struct EncodedEvent {
    pub(super) room_id: RoomId,
    pub(super) seq: i64,
    /// When the message was stored; none for events other than a new message.
    pub(super) created_at: Option<Timestamp>,
    pub(super) frame: SharedFrames,
    /// The connection that the user types on, which does not get the event.
    pub(super) typing_origin: Option<u64>,
    /// From the arrival to the send queues.
    pub(super) span: Span,
}

impl Encoder {
    pub(super) fn new(users: UserCache, send_budget: SendBudget) -> Self {
        Self { users, send_budget, retry_senders_at: Mutex::default() }
    }

    /// Encodes events in their order. Events of a kind that this version does not know are dropped.
    pub(super) async fn encode(&self, events: Vec<Event>) -> Vec<EncodedEvent> {
        if events.is_empty() {
            return Vec::new();
        }
        let spans: Vec<Span> = events.iter().map(delivery_span).collect();
        let users = self.users(&events).await;
        let encode = |(event, span)| self.encode_event(event, &users, span);
        events.into_iter().zip(spans).filter_map(encode).collect()
    }

    fn encode_event(
        &self,
        event: Event,
        users: &HashMap<UserId, Arc<User>>,
        span: Span,
    ) -> Option<EncodedEvent> {
        let user = user(&event).and_then(|(user_id, _)| users.get(&user_id));
        let Event { room_id, seq, .. } = event;
        let (mut created_at, mut typing_origin) = (None, None);
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
                typing_origin = Some(typing.origin);
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
        Some(EncodedEvent { room_id, seq, created_at, frame, typing_origin, span })
    }

    /// Returns the users that the events name. A user that auth does not return in time is built
    /// from the event, so that no event is held back.
    async fn users(&self, events: &[Event]) -> HashMap<UserId, Arc<User>> {
        let mut users = HashMap::new();
        let mut uncached = HashMap::new();
        for (user_id, name) in events.iter().filter_map(user) {
            match self.users.cached(user_id) {
                Some(user) => drop(users.insert(user_id, user)),
                None => drop(uncached.insert(user_id, name)),
            }
        }
        let may_ask = || lock(&self.retry_senders_at).is_none_or(|at| at <= Instant::now());
        if !uncached.is_empty() && may_ask() {
            let lookup = self.users.by_ids(uncached.keys().copied());
            match timeout(SENDER_TIMEOUT, lookup).await {
                Ok(Ok(found)) => users.extend(found),
                _ => *lock(&self.retry_senders_at) = Some(Instant::now() + SENDER_BACKOFF),
            }
        }
        for (user_id, name) in uncached {
            users.entry(user_id).or_insert_with(|| Arc::new(placeholder(user_id, name)));
        }
        users
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
