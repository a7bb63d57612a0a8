//! The way to messaging: one stream to each replica, which carries requests and events in batches.
//!
//! Everything about a room goes to the replica that a rendezvous hash picks, so that all gateways
//! meet there and its sends keep their order. When a stream ends, what was asked on it is asked
//! again elsewhere, in the same order: sends have a key, so a message that was stored already is
//! not stored twice.

mod message;
mod state;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_core::{ErrorCode, MessageContent, RoomId, UserId};
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{self as proto, AttachResponse, Send, Sent, Subscribed, Typing};
use parlance_runtime::Lifecycle;
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::{Client, Replica};
use parlance_runtime::trace::{Span, SpanBuilder};
use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::api::dto::ClientMessageId;
use crate::auth::verifier::Identity;
use crate::fanout::hub::Hub;
pub(crate) use crate::messaging_client::message::Renewal;
use crate::messaging_client::message::{Message, Reply, batches, subscribe};
use crate::messaging_client::state::{Flow, MAX_PENDING, State};

/// Room for releases beside the requests in the queue of a stream, so that no request finds it
/// full.
const MAX_RELEASES: usize = 20_000;
/// The time to wait for a replica to take the gateway in.
const ATTACH_LIMIT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);
/// Batches are far smaller than this.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Names one stream to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    address: SocketAddr,
    epoch: u64,
}

/// A message that is stored.
pub(crate) struct SentMessage {
    /// The message, its content included.
    pub(crate) message: proto::Message,
    /// Whether it had been stored before.
    pub(crate) duplicate: bool,
}

/// The answer to one request, yet to come; `unavailable` at the latest after two seconds.
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<Result<T, ErrorCode>>,
    /// From asking to the answer.
    span: Span,
}

impl<T> Pending<T> {
    /// Waits for the answer.
    pub(crate) async fn answer(&mut self) -> Result<T, ErrorCode> {
        let answer = (&mut self.answer).await.unwrap_or(Err(ErrorCode::Unavailable));
        let mut span = std::mem::take(&mut self.span);
        if let Err(code) = &answer {
            span.fail(code.name());
        }
        answer
    }
}

/// The way to messaging. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MessagingClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    state: Mutex<State>,
    last_number: AtomicU64,
    /// What makes this process's keys its own.
    instance: u64,
}

impl MessagingClient {
    /// The client must know the replicas of messaging. Nothing moves before [`run`](Self::run).
    pub(crate) fn new(client: Client) -> Self {
        let shared = Shared {
            client,
            state: Mutex::default(),
            last_number: AtomicU64::new(0),
            instance: rand::rng().random(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Attaches to all replicas, now and whenever they change, and hands what they tell to the hub.
    pub(crate) fn run(&self, hub: Hub, lifecycle: &Lifecycle) {
        lifecycle.spawn_task("messaging streams", self.clone().keep_attached(hub.clone()));
        lifecycle.spawn_task("request expiry", self.clone().expire_forever(hub));
    }

    /// Stores a message. Messages of one connection for one room are stored in the order of these
    /// calls. The span is a [`submission`].
    pub(crate) fn submit(
        &self,
        room_id: RoomId,
        sender: &Identity,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
        connection_id: Option<u64>,
        span: Span,
    ) -> Pending<Sent> {
        let number = self.next_number();
        let idempotency_key = match client_msg_id {
            Some(id) => format!("c:{}", id.as_str()),
            None => format!("g:{:x}-{number:x}", self.shared.instance),
        };
        let (sender_id, sender_name) = (sender.user_id.get(), sender.username.clone());
        let flow = connection_id.map(|connection_id| (connection_id, room_id));
        let (room_id, content) = (room_id.get(), content.into_string());
        let send = Send {
            request_id: number,
            room_id,
            sender_id,
            sender_name,
            content,
            idempotency_key,
            traceparent: span.traceparent(),
        };
        Pending { span, ..self.ask(number, Message::Send(send), flow, Reply::Sent) }
    }

    /// Stores a message and waits until it is committed.
    pub(crate) async fn send(
        &self,
        room_id: RoomId,
        sender: &Identity,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
    ) -> Result<SentMessage, ErrorCode> {
        let text = content.as_str().to_owned();
        let span = RequestContext::start_span(|| submission(room_id));
        let sent =
            self.submit(room_id, sender, content, client_msg_id, None, span).answer().await?;
        let mut message = sent.message.ok_or(ErrorCode::Internal)?;
        if !sent.duplicate {
            message.content = text;
        }
        Ok(SentMessage { message, duplicate: sent.duplicate })
    }

    /// Asks for a room's events on behalf of a user.
    pub(crate) fn subscribe(&self, room_id: RoomId, user_id: UserId) -> Pending<Subscribed> {
        let number = self.next_number();
        self.ask(
            number,
            Message::Subscribe(subscribe(number, room_id, user_id)),
            None,
            Reply::Subscribed,
        )
    }

    /// Asks again; the answer goes to the hub. False when too much is asked already.
    pub(crate) fn renew(&self, room_id: RoomId, user_id: UserId) -> bool {
        let number = self.next_number();
        let message = Message::Subscribe(subscribe(number, room_id, user_id));
        self.lock().open(number, message, None, Reply::Renewed(room_id, user_id)).is_ok()
    }

    /// Shows a user as typing to all connections but the one it comes from.
    pub(crate) fn show_typing(&self, room_id: RoomId, user: &Identity, origin: u64) -> Pending<()> {
        let number = self.next_number();
        let (user_id, username) = (user.user_id.get(), user.username.clone());
        let typing =
            Typing { request_id: number, room_id: room_id.get(), user_id, username, origin };
        self.ask(number, Message::Typing(typing), None, Reply::Shown)
    }

    /// Does not need a room's events from this stream any more.
    pub(crate) fn release(&self, room_id: RoomId, from: StreamId) {
        self.lock().release(room_id, from);
    }

    /// The stream over which a room's events come, while things are as they are.
    pub(crate) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        self.lock().owner(room_id)
    }

    /// How many replicas this gateway is attached to.
    pub(crate) fn attached(&self) -> usize {
        self.lock().attached()
    }

    fn next_number(&self) -> u64 {
        self.shared.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn ask<T>(
        &self,
        number: u64,
        message: Message,
        flow: Option<Flow>,
        reply: impl FnOnce(oneshot::Sender<Result<T, ErrorCode>>) -> Reply,
    ) -> Pending<T> {
        let (sender, receiver) = oneshot::channel();
        if let Err(reply) = self.lock().open(number, message, flow, reply(sender)) {
            reply.refuse(ErrorCode::Unavailable);
        }
        Pending { answer: receiver, span: Span::default() }
    }

    /// Stays attached to each replica, for as long as it is one.
    async fn keep_attached(self, hub: Hub) -> anyhow::Result<()> {
        let stay = |replica| self.clone().stay_attached(replica, hub.clone());
        let has_gone = || {
            self.lock().remove_closed_links();
            hub.reassign_rooms();
        };
        self.shared.client.run_for_each_replica(stay, has_gone).await
    }

    /// Attaches to one replica again and again.
    async fn stay_attached(self, replica: Replica, hub: Hub) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            if let Err(code) = self.attach_once(&replica, &hub).await {
                tracing::debug!(replica = %replica.address(), error.code = code.name(), "a stream to messaging has ended");
            }
            hub.reassign_rooms();
            let was_attached = started.elapsed() > ATTACH_LIMIT;
            pause = if was_attached { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let jitter: f64 = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
        }
    }

    /// Attaches to a replica and stays so until the stream ends.
    async fn attach_once(&self, replica: &Replica, hub: &Hub) -> Result<(), ErrorCode> {
        let (queue, messages) = mpsc::channel(MAX_PENDING + MAX_RELEASES);
        let request = self.shared.client.authorize(batches(messages));
        let mut client = MessagingServiceClient::new(replica.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let attached = tokio::time::timeout(ATTACH_LIMIT, client.attach(request)).await;
        let attached = attached
            .map_err(|_| ErrorCode::Unavailable)?
            .map_err(|status| code_from_status(&status))?;

        let key = StreamId { address: replica.address(), epoch: self.next_number() };
        self.lock().add_link(key, queue);
        let detach = DetachOnDrop { messaging_client: self, key };
        tracing::info!(replica = %key.address, "attached to a replica of messaging");
        hub.reassign_rooms();
        let outcome = self.listen(key, attached.into_inner(), hub).await;
        drop(detach);
        tracing::info!(replica = %key.address, "detached from a replica of messaging");
        outcome
    }

    /// Handles what the replica tells until the stream ends. A replica that is leaving is let go
    /// once it has answered everything.
    async fn listen(
        &self,
        key: StreamId,
        mut responses: tonic::Streaming<AttachResponse>,
        hub: &Hub,
    ) -> Result<(), ErrorCode> {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let response = tokio::select! {
                response = responses.message() => response.map_err(|status| code_from_status(&status))?,
                _ = sweep.tick() => {
                    if self.lock().has_left(key) {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(response) = response else { return Ok(()) };
            if response.going_away {
                self.lock().mark_leaving(key);
                hub.reassign_rooms();
            }
            let answers = hub.handle(response).await;
            let renewals = self.lock().resolve(answers);
            for renewal in renewals {
                hub.renewed(renewal);
            }
        }
    }

    async fn expire_forever(self, hub: Hub) -> anyhow::Result<()> {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = sweep.tick().await;
            let renewals = self.lock().expire(now);
            for renewal in renewals {
                hub.renewed(renewal);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handing a message to messaging and waiting until it is stored, as a step of its trace.
pub(crate) fn submission(room_id: RoomId) -> SpanBuilder {
    SpanBuilder::client("submit message").with("parlance.room.id", room_id.get())
}

/// Takes a stream out of the books however its task ends.
struct DetachOnDrop<'a> {
    messaging_client: &'a MessagingClient,
    key: StreamId,
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        self.messaging_client.lock().remove_link(self.key);
    }
}
