//! The requests that are handled alone, one at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::MaybeDone;
use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId};
use parlance_proto::messaging::{DeleteMessageRequest, EditMessageRequest};
use parlance_runtime::context::RequestContext;
use parlance_runtime::error::code_from_status;
use parlance_runtime::trace::Span;
use tokio::time::Instant;

use crate::auth::verifier::Identity;
use crate::ws::frames::Frames;
use crate::ws::handshake::welcome;
use crate::ws::protocol::{
    Addition, ClientFrame, ErrorFrame, Request, ServerFrame, refusal, success,
};
use crate::ws::send_queue::CloseCode;
use crate::ws::session::{Session, expiry};
use crate::ws::socket::Incoming;

/// How often a connection with too many rooms looks whether it still has them.
const SUBSCRIBED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A request that is being handled.
pub(crate) struct Current {
    outcome: MaybeDone<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    is_subscription: bool,
    /// From the frame to the outcome.
    _span: Span,
}

/// What came of a request that was handled alone.
pub(crate) enum Outcome {
    Answered(Frames),
    Subscribed(RoomId),
    NotSubscribed(RoomId, ErrorFrame),
    Authenticated(Option<String>, Result<Arc<Identity>, ErrorCode>),
}

impl Current {
    fn subscription(
        entered: (Span, RequestContext),
        outcome: impl Future<Output = Outcome> + Send + 'static,
    ) -> Self {
        Self { is_subscription: true, ..Self::other(entered, outcome) }
    }

    fn other(
        (span, context): (Span, RequestContext),
        outcome: impl Future<Output = Outcome> + Send + 'static,
    ) -> Self {
        let outcome = MaybeDone::Future(Box::pin(context.scope(outcome)) as Pin<Box<_>>);
        Self { outcome, is_subscription: false, _span: span }
    }

    pub(crate) fn is_subscription(&self) -> bool {
        self.is_subscription
    }

    /// Goes on with it until it is handled. Safe to cancel.
    pub(crate) async fn handle(&mut self) {
        (&mut self.outcome).await;
    }

    /// Waits for what comes of it, which can be taken once. Safe to cancel.
    pub(crate) async fn outcome(&mut self) -> Option<Outcome> {
        self.handle().await;
        Pin::new(&mut self.outcome).take_output()
    }
}

impl Session {
    /// Begins to handle a request.
    pub(crate) fn begin(&mut self, frame: ClientFrame) {
        let ClientFrame { reference, request } = frame;
        match request {
            Request::Ping => {
                self.send_queue
                    .push(ServerFrame::Pong { reference: reference.as_deref() }.encode());
            }
            Request::Unsubscribe { room_id } => self.unsubscribe(reference.as_deref(), room_id),
            Request::Subscribe { room_id, after_seq } => {
                self.subscribe(reference, room_id, after_seq)
            }
            Request::Edit { message_id, content } => self.edit(reference, message_id, content),
            Request::Delete { message_id } => self.delete(reference, message_id),
            Request::Auth { token } => self.authenticate(reference, token),
            // These are passed on without waiting for others.
            Request::Send { .. } | Request::Typing { .. } => {}
        }
    }

    /// What a request that is handled alone is handled in: most are not recorded.
    fn begin_step(&self, name: &'static str) -> (Span, RequestContext) {
        self.enter(name).unwrap_or_else(|| (Span::default(), self.context.clone()))
    }

    fn unsubscribe(&mut self, reference: Option<&str>, room_id: RoomId) {
        self.subscribed.remove(&room_id);
        let addition = Addition { room_id: Some(room_id.get()), ..Addition::default() };
        let answer = success(reference, &format!("Unsubscribed from room {room_id}"), addition);
        self.app.hub.unsubscribe(&self.send_queue, room_id, answer);
    }

    fn subscribe(&mut self, reference: Option<String>, room_id: RoomId, after_seq: Option<i64>) {
        if let Err(code) = self.allow_room(room_id) {
            self.send_queue.push(refusal(&ErrorFrame::of_code(reference, code)));
            return;
        }
        self.subscribed.insert(room_id);
        let (hub, send_queue, user_id) =
            (self.app.hub.clone(), self.send_queue.clone(), self.session.user_id);
        self.current =
            Some(Current::subscription(self.begin_step("websocket subscribe"), async move {
                match hub
                    .subscribe(&send_queue, user_id, room_id, after_seq, reference.as_deref())
                    .await
                {
                    Ok(()) => Outcome::Subscribed(room_id),
                    Err(code) => {
                        Outcome::NotSubscribed(room_id, ErrorFrame::of_code(reference, code))
                    }
                }
            }));
    }

    /// Whether there is space for a subscription to this room. Those that have ended without the
    /// client's doing take none, but are looked for only when they matter, and not with every frame
    /// of a client that insists.
    fn allow_room(&mut self, room_id: RoomId) -> Result<(), ErrorCode> {
        if self.subscribed.contains(&room_id) {
            return Ok(());
        }
        let is_checked =
            self.subscribed_checked_at.is_some_and(|at| at.elapsed() < SUBSCRIBED_CHECK_INTERVAL);
        if !self.app.limits.has_room_left(self.subscribed.len()) && !is_checked {
            self.subscribed_checked_at = Some(Instant::now());
            self.app.hub.retain_subscribed(self.send_queue.id, &mut self.subscribed);
        }
        self.app.limits.allow_room(self.subscribed.len())
    }

    fn edit(&mut self, reference: Option<String>, message_id: MessageId, content: MessageContent) {
        let mut messaging = self.app.messaging.clone();
        let acting_user_id = self.session.user_id.get();
        let content = content.into_string();
        let request = EditMessageRequest { acting_user_id, message_id: message_id.get(), content };
        self.current =
            Some(Current::other(self.begin_step("websocket edit_message"), async move {
                let answer =
                    match messaging.edit_message(request).await.map(tonic::Response::into_inner) {
                        Ok(edited) => {
                            let room_id = edited.message.map(|message| message.room_id);
                            changed(
                                reference.as_deref(),
                                "Message edited",
                                room_id,
                                message_id,
                                edited.change_seq,
                            )
                        }
                        Err(status) => {
                            refusal(&ErrorFrame::of_code(reference, code_from_status(&status)))
                        }
                    };
                Outcome::Answered(answer)
            }));
    }

    fn delete(&mut self, reference: Option<String>, message_id: MessageId) {
        let mut messaging = self.app.messaging.clone();
        let acting_user_id = self.session.user_id.get();
        let request = DeleteMessageRequest { acting_user_id, message_id: message_id.get() };
        self.current =
            Some(Current::other(self.begin_step("websocket delete_message"), async move {
                let answer = match messaging
                    .delete_message(request)
                    .await
                    .map(tonic::Response::into_inner)
                {
                    Ok(deleted) => {
                        let room_id = Some(deleted.room_id);
                        changed(
                            reference.as_deref(),
                            "Message deleted",
                            room_id,
                            message_id,
                            deleted.change_seq,
                        )
                    }
                    Err(status) => {
                        refusal(&ErrorFrame::of_code(reference, code_from_status(&status)))
                    }
                };
                Outcome::Answered(answer)
            }));
    }

    fn authenticate(&mut self, reference: Option<String>, token: String) {
        let access = self.app.token_verifier.clone();
        self.current = Some(Current::other(self.begin_step("websocket auth"), async move {
            let outcome = access.authenticate(&token).await;
            Outcome::Authenticated(reference, outcome)
        }));
    }

    /// Ends the session, unless a fresh token has come already and only waits behind other frames;
    /// the code to close with.
    pub(crate) async fn expire(&mut self) -> Option<CloseCode> {
        let is_token = |incoming: &Incoming| {
            matches!(
                incoming,
                Incoming::Frame(Ok(ClientFrame { request: Request::Auth { .. }, .. }))
            )
        };
        let place = self.waiting.iter().position(is_token);
        if let Some(Incoming::Frame(Ok(ClientFrame {
            reference,
            request: Request::Auth { token },
        }))) = place.and_then(|place| self.waiting.remove(place))
        {
            let outcome = self.app.token_verifier.authenticate(&token).await;
            return self.finish(Outcome::Authenticated(reference, outcome));
        }
        self.send_queue.push(refusal(&ErrorFrame::of_code(None, ErrorCode::TokenExpired)));
        Some(CloseCode::UNAUTHENTICATED)
    }

    /// Takes up what came of a request; the code to close with, if it was that bad.
    pub(crate) fn finish(&mut self, outcome: Outcome) -> Option<CloseCode> {
        let refused = match outcome {
            Outcome::Answered(answer) => {
                self.send_queue.push(answer);
                return None;
            }
            Outcome::Subscribed(room_id) => {
                self.subscribed.insert(room_id);
                return None;
            }
            Outcome::NotSubscribed(room_id, refused) => {
                // While nobody can tell, an earlier subscription to the room stays.
                if refused.code != ErrorCode::Unavailable {
                    self.subscribed.remove(&room_id);
                }
                self.send_queue.push(refusal(&refused));
                return None;
            }
            Outcome::Authenticated(reference, Ok(session))
                if session.user_id == self.session.user_id =>
            {
                self.timers.renew(expiry(&self.app, &session));
                self.send_queue.push(welcome(reference.as_deref(), &session));
                self.session = session;
                return None;
            }
            Outcome::Authenticated(reference, Ok(_)) => {
                let sentence = "This connection belongs to another user".to_owned();
                ErrorFrame { reference, code: ErrorCode::Unauthenticated, sentence }
            }
            Outcome::Authenticated(reference, Err(code)) => ErrorFrame::of_code(reference, code),
        };
        self.send_queue.push(refusal(&refused));
        (refused.code != ErrorCode::Unavailable).then_some(CloseCode::UNAUTHENTICATED)
    }
}

fn changed(
    reference: Option<&str>,
    sentence: &str,
    room_id: Option<i64>,
    message_id: MessageId,
    change_seq: i64,
) -> Frames {
    let message_id = Some(message_id.get());
    success(
        reference,
        sentence,
        Addition { room_id, message_id, seq: Some(change_seq), ..Addition::default() },
    )
}
