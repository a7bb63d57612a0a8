//! Handles the frames of a client.
//!
//! Sends and typing events go to messaging without waiting for the answers to earlier ones. Every
//! other request waits until all earlier ones are answered, and is handled alone.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId};
use parlance_proto::messaging::{DeleteMessageRequest, EditMessageRequest};
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::code_from_status;
use parlance_runtime::trace::{Span, SpanBuilder};
use tokio::time::Instant;
use tonic::{Response, Status};

use crate::api::dto::ClientMessageId;
use crate::auth::identity::Identity;
use crate::fanout::{Subscription, Turn};
use crate::limits::SubscriptionPermit;
use crate::messaging_client::submit_span;
use crate::ws::close_code::CloseCode;
use crate::ws::frames::Frames;
use crate::ws::protocol::{
    ClientFrame, ErrorFrame, Request, ServerFrame, SuccessFields, authenticated, success,
};
use crate::ws::session::active_request::{ActiveRequest, Finished};
use crate::ws::session::in_flight::InFlight;
use crate::ws::session::state::{Session, expiry};

/// How often a connection with too many rooms looks for ended subscriptions.
const SUBSCRIBED_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const TYPING_INTERVAL: Duration = Duration::from_secs(2);

impl Session {
    /// Handles waiting frames until one has to wait for an answer.
    pub(super) fn handle_waiting(&mut self) {
        while self.active.is_none()
            && let Some(frame) = self.waiting.pop_front()
        {
            match frame {
                Err(error) => self.in_flight.push_back(InFlight::Answered(error.encode())),
                Ok(frame) if self.may_handle(&frame.request) => self.handle(frame),
                frame => {
                    self.waiting.push_front(frame);
                    return;
                }
            }
        }
        if self.waiting.is_empty() {
            // An idle connection keeps no memory.
            self.waiting.shrink_to_fit();
        }
    }

    /// Returns true if a request need not wait: neither for the answers to earlier ones, nor for a
    /// permit.
    fn may_handle(&mut self, request: &Request) -> bool {
        if is_pipelined(request) { self.has_permit() } else { self.in_flight.is_empty() }
    }

    /// Takes a permit for a request, or starts to wait for one.
    fn has_permit(&mut self) -> bool {
        if self.permit.is_none() && self.permit_wait.is_none() {
            self.permit = self.user_share.try_begin();
            if self.permit.is_none() {
                self.permit_wait = Some(Box::pin(self.user_share.clone().begin()));
            }
        }
        self.permit.is_some()
    }

    /// Starts to handle a request.
    pub(super) fn handle(&mut self, ClientFrame { reference, request }: ClientFrame) {
        match request {
            Request::Ping => {
                let reference = reference.as_deref();
                self.send_queue.push(ServerFrame::Pong { reference }.encode());
            }
            Request::Send { room_id, content, client_msg_id } => {
                self.send(reference, room_id, content, client_msg_id)
            }
            Request::Typing { room_id } => {
                self.show_typing(reference, room_id);
                // A typing event that is left out needs none.
                self.permit = None;
            }
            Request::Subscribe { room_id, after_seq } => {
                self.subscribe(reference, room_id, after_seq)
            }
            Request::Unsubscribe { room_id } => self.unsubscribe(reference.as_deref(), room_id),
            Request::Edit { message_id, content } => self.edit(reference, message_id, content),
            Request::Delete { message_id } => self.delete(reference, message_id),
            Request::Auth { token } => self.authenticate(reference, token),
        }
    }

    /// Answers a frame that is too large. Returns the code to close with.
    pub(super) fn refuse_too_big(&self) -> CloseCode {
        let sentence = "A frame must not be larger than 64 KiB";
        self.push_error(&ErrorFrame::with_sentence(None, ErrorCode::InvalidFrame, sentence));
        CloseCode::TOO_BIG
    }

    fn send(
        &mut self,
        reference: Option<String>,
        room_id: RoomId,
        content: MessageContent,
        client_msg_id: Option<ClientMessageId>,
    ) {
        let Some(permit) = self.permit.take() else { return };
        self.look_up_user();
        let recorded = self.start_span("websocket send_message");
        let span = recorded.map(|(span, _)| span).unwrap_or_default();
        let pending = self.app.messaging_client.submit(
            room_id,
            &self.identity,
            content,
            client_msg_id.as_ref(),
            Some(self.send_queue.id),
            permit,
            span.start_span(|| submit_span(room_id)),
        );
        let send = InFlight::Send { pending, room_id, reference, client_msg_id, span };
        self.in_flight.push_back(send);
    }

    /// Has the user in the cache when the event of the first message arrives.
    fn look_up_user(&mut self) {
        if !std::mem::replace(&mut self.has_sent, true) {
            self.app.users.look_up_in_background(&self.app.lifecycle, self.identity.user_id);
        }
    }

    fn show_typing(&mut self, reference: Option<String>, room_id: RoomId) {
        let now = Instant::now();
        self.last_typing.retain(|_, shown_at| now - *shown_at < TYPING_INTERVAL);
        if self.last_typing.contains_key(&room_id) {
            return;
        }
        let Some(permit) = self.permit.take() else { return };
        self.last_typing.insert(room_id, now);
        let (client, origin) = (&self.app.messaging_client, self.send_queue.id);
        let pending = client.show_typing(room_id, &self.identity, origin, permit);
        self.in_flight.push_back(InFlight::Typing { pending, reference });
    }

    fn unsubscribe(&mut self, reference: Option<&str>, room_id: RoomId) {
        self.subscribed.remove(&room_id);
        let fields = SuccessFields { room_id: Some(room_id.get()), ..SuccessFields::default() };
        let answer = success(reference, &format!("Unsubscribed from room {room_id}"), fields);
        self.app.hub.unsubscribe(&self.send_queue, room_id, answer);
    }

    fn subscribe(&mut self, reference: Option<String>, room_id: RoomId, after_seq: Option<i64>) {
        let permit = match self.allow_room(room_id).and_then(|()| self.permit_for(room_id)) {
            Ok(permit) => permit,
            Err(code) => {
                self.push_error(&ErrorFrame::new(reference, code));
                return;
            }
        };
        self.subscribed.insert(room_id);
        let (hub, send_queue) = (self.app.hub.clone(), self.send_queue.clone());
        let user_id = self.identity.user_id;
        let turn = Turn::Shared(self.user_share.clone());
        let new = Subscription { send_queue, user_id, room_id, after_seq, reference, turn, permit };
        self.start("websocket subscribe", async move {
            let result = hub.subscribe(&new).await;
            Finished::Subscribe(
                room_id,
                result.map_err(|code| ErrorFrame::new(new.reference, code)),
            )
        });
        if let Some(active) = &mut self.active {
            active.is_subscribe = true;
        }
    }

    /// Checks the limit of rooms. Subscriptions that the server has ended do not count; to save
    /// work they are looked for only at the limit, and not with every frame.
    fn allow_room(&mut self, room_id: RoomId) -> Result<(), ErrorCode> {
        if self.subscribed.contains(&room_id) {
            return Ok(());
        }
        let checked_at = self.subscribed_checked_at;
        let is_checked = checked_at.is_some_and(|at| at.elapsed() < SUBSCRIBED_CHECK_INTERVAL);
        if !self.app.limits.has_room_left(self.subscribed.len()) && !is_checked {
            self.subscribed_checked_at = Some(Instant::now());
            self.app.hub.retain_subscribed(self.send_queue.id, &mut self.subscribed);
        }
        self.app.limits.allow_room(self.subscribed.len())
    }

    /// Takes a permit for a subscription. An existing one needs none.
    fn permit_for(&self, room_id: RoomId) -> Result<Option<Arc<SubscriptionPermit>>, ErrorCode> {
        let permit = self.app.limits.try_subscribe(self.identity.user_id).map(Arc::new);
        if permit.is_none() && !self.app.hub.is_subscribed(self.send_queue.id, room_id) {
            return Err(self.app.limits.refuse_subscription());
        }
        Ok(permit)
    }

    fn edit(&mut self, reference: Option<String>, message_id: MessageId, content: MessageContent) {
        let mut messaging = self.app.messaging.clone();
        let request = EditMessageRequest {
            acting_user_id: self.identity.user_id.get(),
            message_id: message_id.get(),
            content: content.into_string(),
        };
        self.start("websocket edit_message", async move {
            let edited = messaging.edit_message(request).await.map(Response::into_inner);
            let change = edited
                .map(|edited| (edited.message.map(|message| message.room_id), edited.change_seq));
            Finished::Request(change_answer(reference, "Message edited", message_id, change))
        });
    }

    fn delete(&mut self, reference: Option<String>, message_id: MessageId) {
        let mut messaging = self.app.messaging.clone();
        let (acting_user_id, id) = (self.identity.user_id.get(), message_id.get());
        let request = DeleteMessageRequest { acting_user_id, message_id: id };
        self.start("websocket delete_message", async move {
            let deleted = messaging.delete_message(request).await.map(Response::into_inner);
            let change = deleted.map(|deleted| (Some(deleted.room_id), deleted.change_seq));
            Finished::Request(change_answer(reference, "Message deleted", message_id, change))
        });
    }

    fn authenticate(&mut self, reference: Option<String>, token: String) {
        let access = self.app.token_verifier.clone();
        self.start("websocket auth", async move {
            Finished::Auth(reference, access.authenticate(&token).await)
        });
    }

    fn start(
        &mut self,
        name: &'static str,
        request: impl Future<Output = Finished> + Send + 'static,
    ) {
        let recorded = self.start_span(name);
        let scope = recorded.unwrap_or_else(|| (Span::default(), self.context.clone()));
        self.active = Some(ActiveRequest::new(scope, request));
    }

    /// Starts the span of a frame and the context of its calls, if the frame is sampled.
    fn start_span(&self, name: &'static str) -> Option<(Span, RequestContext)> {
        let mut trace = self.app.sampling.for_frame()?;
        let request_id = self.context.request_id.clone();
        let span = trace.enter(|| {
            SpanBuilder::server(name).with("parlance.request.id", request_id.to_string())
        });
        Some((span, RequestContext { request_id, trace, deadline: None }))
    }

    /// Handles an expired token: uses a new one from a waiting frame, if there is one. Returns the
    /// code to close with, if the connection is to be closed.
    pub(super) async fn expire(&mut self) -> Option<CloseCode> {
        let is_auth = |frame: &Result<ClientFrame, ErrorFrame>| {
            frame.as_ref().is_ok_and(|frame| matches!(frame.request, Request::Auth { .. }))
        };
        let position = self.waiting.iter().position(is_auth);
        if let Some(Ok(frame)) = position.and_then(|at| self.waiting.remove(at))
            && let Request::Auth { token } = frame.request
        {
            let result = self.app.token_verifier.authenticate(&token).await;
            return self.on_authenticated(frame.reference, result);
        }
        self.push_error(&ErrorFrame::new(None, ErrorCode::TokenExpired));
        Some(CloseCode::UNAUTHENTICATED)
    }

    /// Answers a request that was handled alone. Returns the code to close with, if the connection
    /// is to be closed.
    pub(super) fn on_finished(&mut self, finished: Finished) -> Option<CloseCode> {
        match finished {
            Finished::Request(answer) => self.send_queue.push(answer),
            Finished::Subscribe(room_id, Ok(())) => drop(self.subscribed.insert(room_id)),
            Finished::Subscribe(room_id, Err(error)) => {
                // An existing subscription stays while the membership cannot be checked.
                if error.code != ErrorCode::Unavailable {
                    self.subscribed.remove(&room_id);
                }
                self.push_error(&error);
            }
            Finished::Auth(reference, result) => return self.on_authenticated(reference, result),
        }
        None
    }

    fn on_authenticated(
        &mut self,
        reference: Option<String>,
        result: Result<Arc<Identity>, ErrorCode>,
    ) -> Option<CloseCode> {
        let error = match result {
            Ok(identity) if identity.user_id == self.identity.user_id => {
                self.timers.token_expires_at = expiry(&self.app, &identity);
                self.send_queue.push(authenticated(reference.as_deref(), identity.user_id));
                self.identity = identity;
                self.register();
                return None;
            }
            Ok(_) => {
                let sentence = "This connection belongs to another user";
                ErrorFrame::with_sentence(reference, ErrorCode::Unauthenticated, sentence)
            }
            Err(code) => ErrorFrame::new(reference, code),
        };
        self.push_error(&error);
        (error.code != ErrorCode::Unavailable).then_some(CloseCode::for_refused_token(error.code))
    }
}

/// Returns true for requests that do not wait for the answers to earlier ones.
fn is_pipelined(request: &Request) -> bool {
    matches!(request, Request::Send { .. } | Request::Typing { .. })
}

/// Encodes the answer to an edit or a deletion, whose room and `seq` are given.
fn change_answer(
    reference: Option<String>,
    sentence: &str,
    message_id: MessageId,
    change: Result<(Option<i64>, i64), Status>,
) -> Frames {
    let message_id = Some(message_id.get());
    match change {
        Ok((room_id, seq)) => {
            let seq = Some(seq);
            let fields = SuccessFields { room_id, message_id, seq, ..SuccessFields::default() };
            success(reference.as_deref(), sentence, fields)
        }
        Err(status) => ErrorFrame::new(reference, code_from_status(&status)).encode(),
    }
}
