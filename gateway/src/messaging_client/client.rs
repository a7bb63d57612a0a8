//! The calls that the gateway makes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use parlance_core::{ErrorCode, MessageContent, RoomId, UserId};
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::{self as proto, Send, Sent, Subscribe, Subscribed, Typing};
use parlance_runtime::context::RequestContext;
use parlance_runtime::grpc::Client;
use parlance_runtime::trace::{Span, SpanBuilder};
use rand::Rng;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::api::dto::ClientMessageId;
use crate::auth::identity::Identity;
use crate::limits::InFlightPermit;
use crate::lock::lock;
use crate::messaging_client::owner_replica::OwnerReplicas;
use crate::messaging_client::pending::{OrderingKey, PendingRequests};
use crate::messaging_client::stream_message::{Reply, StreamMessage};
use crate::messaging_client::streams::StreamId;

/// Sends messages and subscribes to rooms. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MessagingClient {
    pub(super) grpc: Client,
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<PendingRequests>,
    last_id: AtomicU64,
    /// Makes the idempotency keys of this process unique.
    instance: u64,
}

/// A message that is committed.
pub(crate) struct SentMessage {
    /// The message with its content.
    pub(crate) message: proto::Message,
    /// True if an earlier send with the same idempotency key stored it.
    pub(crate) duplicate: bool,
}

/// A request whose answer has not arrived. After two seconds the answer is `unavailable`.
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<Result<Outcome, ErrorCode>>,
    read: fn(Outcome) -> Option<T>,
    /// From the request to the answer.
    span: Span,
}

impl<T> Pending<T> {
    /// Waits for the answer. Safe to cancel.
    pub(crate) async fn answer(&mut self) -> Result<T, ErrorCode> {
        let answer = (&mut self.answer).await.unwrap_or(Err(ErrorCode::Unavailable));
        let mut span = std::mem::take(&mut self.span);
        let result = answer.and_then(|outcome| {
            (self.read)(outcome).ok_or_else(|| {
                tracing::error!("messaging sent an answer of the wrong kind; the request fails");
                ErrorCode::Internal
            })
        });
        if let Err(code) = &result {
            span.fail(code.name());
        }
        result
    }
}

impl MessagingClient {
    /// Makes a client for the replicas that `grpc` resolves. It sends nothing before
    /// [`run`](Self::run).
    pub(crate) fn new(grpc: Client) -> Self {
        let (pending, last_id) = (Mutex::default(), AtomicU64::new(0));
        let shared = Shared { pending, last_id, instance: rand::rng().random() };
        Self { grpc, shared: Arc::new(shared) }
    }

    /// Sends a message. Messages of one connection to one room are stored in the order of these
    /// calls. The span is a [`submit_span`].
    #[expect(clippy::too_many_arguments, reason = "each is one field of the request")]
    pub(crate) fn submit(
        &self,
        room_id: RoomId,
        sender: &Identity,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
        connection_id: Option<u64>,
        permit: InFlightPermit,
        span: Span,
    ) -> Pending<Sent> {
        let request_id = self.next_id();
        // A key of the client, or else of the gateway, which makes its own resends idempotent.
        let idempotency_key = match client_msg_id {
            Some(id) => format!("c:{}", id.as_str()),
            None => format!("g:{:x}-{request_id:x}", self.shared.instance),
        };
        let send = Send {
            request_id,
            room_id: room_id.get(),
            sender_id: sender.user_id.get(),
            sender_name: sender.username.clone(),
            content: content.into_string(),
            idempotency_key,
            traceparent: span.traceparent(),
            // Set when it is sent.
            deadline_us: 0,
        };
        let ordering_key = connection_id.map(|connection_id| (connection_id, room_id));
        let read = |outcome| match outcome {
            Outcome::Sent(sent) => Some(sent),
            _ => None,
        };
        let message = StreamMessage::Send(send);
        Pending { span, ..self.request(request_id, message, ordering_key, Some(permit), read) }
    }

    /// Sends a message and waits until it is committed.
    pub(crate) async fn send(
        &self,
        room_id: RoomId,
        sender: &Identity,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
        permit: InFlightPermit,
    ) -> Result<SentMessage, ErrorCode> {
        let text = content.as_str().to_owned();
        let span = RequestContext::start_span(|| submit_span(room_id));
        let mut pending = self.submit(room_id, sender, content, client_msg_id, None, permit, span);
        let sent = pending.answer().await?;
        let mut message = sent.message.ok_or(ErrorCode::Internal)?;
        if !sent.duplicate {
            message.content = text;
        }
        Ok(SentMessage { message, duplicate: sent.duplicate })
    }

    /// Subscribes this gateway to a room on behalf of a user, whose membership is checked.
    pub(crate) fn subscribe(&self, room_id: RoomId, user_id: UserId) -> Pending<Subscribed> {
        let request_id = self.next_id();
        let read = |outcome| match outcome {
            Outcome::Subscribed(subscribed) => Some(subscribed),
            _ => None,
        };
        let message = subscribe(request_id, room_id, user_id);
        self.request(request_id, message, None, None, read)
    }

    /// Subscribes again, to the present owner replica. The event handler gets the answer. The
    /// permit bounds the renewals in flight, which take no places of other requests.
    pub(crate) fn renew(&self, room_id: RoomId, user_id: UserId, permit: OwnedSemaphorePermit) {
        let request_id = self.next_id();
        let message = subscribe(request_id, room_id, user_id);
        let reply = Reply::Renewal(room_id, user_id, permit);
        self.pending().open(request_id, message, None, reply, None);
    }

    /// Shows a user as typing on all connections but the one with the id `origin`.
    pub(crate) fn show_typing(
        &self,
        room_id: RoomId,
        user: &Identity,
        origin: u64,
        permit: InFlightPermit,
    ) -> Pending<()> {
        let request_id = self.next_id();
        let typing = Typing {
            request_id,
            room_id: room_id.get(),
            user_id: user.user_id.get(),
            username: user.username.clone(),
            origin,
        };
        let read = |outcome| matches!(outcome, Outcome::TypingShown(_)).then_some(());
        self.request(request_id, StreamMessage::Typing(typing), None, Some(permit), read)
    }

    /// Ends this gateway's subscription to a room on a stream.
    pub(crate) fn release(&self, room_id: RoomId, stream: StreamId) {
        self.pending().streams.release(stream, room_id);
    }

    /// Returns the stream to the present owner replica of a room.
    pub(crate) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        self.pending().streams.owner(room_id)
    }

    /// Returns the replicas that own rooms now.
    pub(crate) fn owner_replicas(&self) -> OwnerReplicas {
        self.pending().streams.owner_replicas()
    }

    /// Counts the replicas that this gateway is attached to.
    pub(crate) fn attached(&self) -> usize {
        self.pending().streams.len()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, PendingRequests> {
        lock(&self.shared.pending)
    }

    fn request<T>(
        &self,
        request_id: u64,
        message: StreamMessage,
        ordering_key: Option<OrderingKey>,
        permit: Option<InFlightPermit>,
        read: fn(Outcome) -> Option<T>,
    ) -> Pending<T> {
        let (caller, answer) = oneshot::channel();
        self.pending().open(request_id, message, ordering_key, Reply::Caller(caller), permit);
        Pending { answer, read, span: Span::default() }
    }
}

/// Describes the span of a message from [`submit`](MessagingClient::submit) to its commit.
pub(crate) fn submit_span(room_id: RoomId) -> SpanBuilder {
    SpanBuilder::client("submit message").with("parlance.room.id", room_id.get())
}

fn subscribe(request_id: u64, room_id: RoomId, user_id: UserId) -> StreamMessage {
    let (room_id, user_id) = (room_id.get(), user_id.get());
    StreamMessage::Subscribe(Subscribe { request_id, room_id, user_id })
}
