//! An authenticated connection, in one task: it reads frames, has them handled one after the other, and writes what is queued.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId};
use parlance_proto::messaging::{DeleteMessageRequest, EditMessageRequest, Sent};
use parlance_runtime::error::code_of_status;
use rand::Rng;
use tokio::time::Instant;

use super::entrance::welcome;
use super::outbound::CloseCode;
use super::protocol::{Addition, ClientFrame, Refusal, Request, ServerFrame, refusal, success};
use super::socket::{Incoming, Socket};
use super::upstream::Pending;
use crate::access::Session;
use crate::app::App;
use crate::limits::TokenBucket;
use crate::objects::ClientMessageId;

/// Sends and signs of typing under way for one connection; beyond it no frame is read.
const MAX_UNDER_WAY: usize = 64;
/// After this silence the server asks whether the client is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the client may take to answer that.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// At most one sign of typing is passed on in this time.
const TYPING_INTERVAL: Duration = Duration::from_secs(2);
/// How often a connection with too many rooms looks whether it still has them.
const SUBSCRIBED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// An authenticated connection.
pub(super) struct Connection {
    app: App,
    socket: Socket,
    session: Arc<Session>,
    /// When the session's token ends.
    expires_at: Instant,
    subscribed: HashSet<RoomId>,
    /// When rooms whose subscription has ended were last looked for among them.
    subscribed_checked_at: Option<Instant>,
    /// The frames that may come.
    frames: TokenBucket,
    /// Sends and signs of typing, whose answers come in the order of their frames.
    under_way: VecDeque<UnderWay>,
    /// A frame that has to wait until what is under way was answered.
    waiting: Option<ClientFrame>,
    /// The one other request that is being handled; no frame is read meanwhile.
    current: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    last_typing: HashMap<RoomId, Instant>,
    last_heard: Instant,
    /// When the client was asked whether it is still there, and has not answered.
    pinged_at: Option<Instant>,
    /// When this connection is to be closed because the process drains.
    leaves_at: Option<Instant>,
}

/// A request that was passed on, or an answer that has to wait for its turn.
enum UnderWay {
    Send {
        pending: Pending<Sent>,
        room_id: RoomId,
        reference: Option<String>,
        client_msg_id: Option<ClientMessageId>,
    },
    Typing {
        pending: Pending<()>,
        reference: Option<String>,
    },
    Answered(Utf8Bytes),
}

/// What came of a request that was handled alone.
enum Outcome {
    Answered(Utf8Bytes),
    Subscribed(RoomId),
    NotSubscribed(RoomId, Refusal),
    Authenticated(Option<String>, Result<Arc<Session>, ErrorCode>),
}

/// What a connection wakes up for.
enum Event {
    Queued(VecDeque<Utf8Bytes>, Option<CloseCode>),
    Answered(Option<Utf8Bytes>),
    Finished(Outcome),
    Incoming(Incoming),
    Deadline,
    Draining,
}

impl Connection {
    pub(super) fn new(app: App, socket: Socket, session: Arc<Session>) -> Self {
        let expires_at = expiry(&app, &session);
        Self {
            app,
            socket,
            session,
            expires_at,
            subscribed: HashSet::new(),
            subscribed_checked_at: None,
            frames: TokenBucket::full(Instant::now()),
            under_way: VecDeque::new(),
            waiting: None,
            current: None,
            last_typing: HashMap::new(),
            last_heard: Instant::now(),
            pinged_at: None,
            leaves_at: None,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        let id = self.socket.outbound.id;
        self.app.hub.connect(&self.socket.outbound, self.session.user_id);
        if self.app.access.is_inactive(self.session.user_id) {
            // Locked out between the look at the token and now: too early for the hub to close this socket.
            self.socket.outbound.push(refusal(&Refusal::of_code(None, ErrorCode::InactiveUser)));
            self.socket.outbound.close(CloseCode::UNAUTHENTICATED);
        }
        let code = self.live().await;
        // A subscription that is being made ends with its future.
        self.current = None;
        self.app.hub.disconnect(id, &self.subscribed);
        if let Some(code) = code {
            tracing::debug!(close.code = code.0, "closing a socket");
            self.socket.close(code).await;
        }
    }

    /// Serves until the connection is to be closed, with a code unless the client is gone.
    async fn live(&mut self) -> Option<CloseCode> {
        loop {
            match self.next_event().await {
                Event::Queued(frames, closing) => {
                    if !self.socket.write(frames).await {
                        return self.socket.outbound.cut().is_cancelled().then_some(CloseCode::TOO_SLOW);
                    }
                    if closing.is_some() {
                        return closing;
                    }
                }
                Event::Answered(answer) => {
                    self.under_way.pop_front();
                    answer.into_iter().for_each(|frame| self.socket.outbound.push(frame));
                }
                Event::Finished(outcome) => {
                    self.current = None;
                    if let Some(code) = self.finish(outcome) {
                        return Some(code);
                    }
                }
                Event::Incoming(Incoming::End) => return None,
                Event::Incoming(Incoming::TooBig) => {
                    let sentence = "A frame must not be larger than 64 KiB".to_owned();
                    let refused = Refusal { reference: None, code: ErrorCode::InvalidFrame, sentence };
                    self.socket.outbound.push(refusal(&refused));
                    return Some(CloseCode::TOO_BIG);
                }
                Event::Incoming(incoming) => self.hear(incoming),
                Event::Deadline => {
                    if let Some(code) = self.meet_deadline().await {
                        return Some(code);
                    }
                }
                Event::Draining => self.leaves_at = Some(Instant::now() + self.time_to_stay()),
            }
            if self.is_idle()
                && let Some(frame) = self.waiting.take()
            {
                self.begin(frame);
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.next_deadline();
        let may_read = self.may_read();
        let outbound = self.socket.outbound.clone();
        let draining = self.app.lifecycle.draining();
        let (first, current) = (self.under_way.front_mut(), self.current.as_mut());
        let (has_first, has_current) = (first.is_some(), current.is_some());
        tokio::select! {
            (frames, closing) = outbound.take() => Event::Queued(frames, closing),
            answer = async { match first { Some(first) => first.answer().await, None => None } }, if has_first => {
                Event::Answered(answer)
            }
            Some(outcome) = async { match current { Some(current) => Some(current.await), None => None } }, if has_current => {
                Event::Finished(outcome)
            }
            incoming = self.socket.read(), if may_read => Event::Incoming(incoming),
            () = tokio::time::sleep_until(deadline) => Event::Deadline,
            () = draining.cancelled(), if self.leaves_at.is_none() => Event::Draining,
        }
    }

    /// Frames are read while there is room for what they ask, so that a client that asks too much waits in its own queue.
    fn may_read(&self) -> bool {
        let is_leaving = self.leaves_at.is_some_and(|at| at <= Instant::now());
        self.waiting.is_none()
            && self.current.is_none()
            && self.under_way.len() < MAX_UNDER_WAY
            && !is_leaving
    }

    fn hear(&mut self, incoming: Incoming) {
        self.last_heard = Instant::now();
        self.pinged_at = None;
        match incoming {
            Incoming::Frame(frame) => match self.within_limit(frame) {
                Ok(frame) => self.take(frame),
                Err(refused) => self.under_way.push_back(UnderWay::Answered(refusal(&refused))),
            },
            Incoming::Nothing | Incoming::TooBig | Incoming::End => {}
        }
    }

    /// Every frame counts, right or wrong.
    fn within_limit(&mut self, frame: Result<ClientFrame, Refusal>) -> Result<ClientFrame, Refusal> {
        self.app.limits.take_frame(&mut self.frames, self.last_heard).map_err(|code| {
            let reference = match &frame {
                Ok(frame) => frame.reference.clone(),
                Err(refused) => refused.reference.clone(),
            };
            Refusal::of_code(reference, code)
        })?;
        frame
    }

    /// Passes sends and signs of typing on at once, one behind the other; everything else waits until they were answered.
    fn take(&mut self, frame: ClientFrame) {
        let ClientFrame { reference, request } = frame;
        match request {
            Request::Send { room_id, content, client_msg_id } => {
                self.send(reference, room_id, content, client_msg_id)
            }
            Request::Typing { room_id } => self.show_typing(reference, room_id),
            request => {
                let frame = ClientFrame { reference, request };
                if self.under_way.is_empty() { self.begin(frame) } else { self.waiting = Some(frame) }
            }
        }
    }

    fn send(
        &mut self,
        reference: Option<String>,
        room_id: RoomId,
        content: MessageContent,
        client_msg_id: Option<ClientMessageId>,
    ) {
        let pending = self.app.upstream.submit(
            room_id,
            &self.session,
            content,
            client_msg_id.as_ref(),
            Some(self.socket.outbound.id),
        );
        self.under_way.push_back(UnderWay::Send { pending, room_id, reference, client_msg_id });
    }

    fn show_typing(&mut self, reference: Option<String>, room_id: RoomId) {
        let now = Instant::now();
        self.last_typing.retain(|_, shown_at| now - *shown_at < TYPING_INTERVAL);
        if self.last_typing.contains_key(&room_id) {
            return;
        }
        self.last_typing.insert(room_id, now);
        let pending = self.app.upstream.show_typing(room_id, &self.session, self.socket.outbound.id);
        self.under_way.push_back(UnderWay::Typing { pending, reference });
    }

    /// Begins what is handled alone.
    fn begin(&mut self, frame: ClientFrame) {
        let ClientFrame { reference, request } = frame;
        match request {
            Request::Ping => {
                self.socket.outbound.push(ServerFrame::Pong { reference: reference.as_deref() }.encode());
            }
            Request::Unsubscribe { room_id } => self.unsubscribe(reference.as_deref(), room_id),
            Request::Subscribe { room_id, after_seq } => self.subscribe(reference, room_id, after_seq),
            Request::Edit { message_id, content } => self.edit(reference, message_id, content),
            Request::Delete { message_id } => self.delete(reference, message_id),
            Request::Auth { token } => self.authenticate(reference, token),
            // These do not wait for others, so they never come here.
            Request::Send { .. } | Request::Typing { .. } => {}
        }
    }

    fn unsubscribe(&mut self, reference: Option<&str>, room_id: RoomId) {
        self.subscribed.remove(&room_id);
        let addition = Addition { room_id: Some(room_id.get()), ..Addition::default() };
        let answer = success(reference, &format!("Unsubscribed from room {room_id}"), addition);
        self.app.hub.unsubscribe(&self.socket.outbound, room_id, answer);
    }

    fn subscribe(&mut self, reference: Option<String>, room_id: RoomId, after_seq: Option<i64>) {
        if let Err(code) = self.allow_room(room_id) {
            self.socket.outbound.push(refusal(&Refusal::of_code(reference, code)));
            return;
        }
        self.subscribed.insert(room_id);
        let (hub, outbound, user_id) =
            (self.app.hub.clone(), self.socket.outbound.clone(), self.session.user_id);
        self.current = Some(Box::pin(async move {
            match hub.subscribe(&outbound, user_id, room_id, after_seq, reference.as_deref()).await {
                Ok(()) => Outcome::Subscribed(room_id),
                Err(code) => Outcome::NotSubscribed(room_id, Refusal::of_code(reference, code)),
            }
        }));
    }

    /// Whether there is space for a subscription to this room. Those that have ended without the client's doing take none, but
    /// are looked for only when they matter, and not with every frame of a client that insists.
    fn allow_room(&mut self, room_id: RoomId) -> Result<(), ErrorCode> {
        if self.subscribed.contains(&room_id) {
            return Ok(());
        }
        let is_checked =
            self.subscribed_checked_at.is_some_and(|at| at.elapsed() < SUBSCRIBED_CHECK_INTERVAL);
        if !self.app.limits.has_room_left(self.subscribed.len()) && !is_checked {
            self.subscribed_checked_at = Some(Instant::now());
            self.app.hub.retain_subscribed(self.socket.outbound.id, &mut self.subscribed);
        }
        self.app.limits.allow_room(self.subscribed.len())
    }

    fn edit(&mut self, reference: Option<String>, message_id: MessageId, content: MessageContent) {
        let mut messaging = self.app.messaging.clone();
        let acting_user_id = self.session.user_id.get();
        let content = content.into_string();
        let request = EditMessageRequest { acting_user_id, message_id: message_id.get(), content };
        self.current = Some(Box::pin(async move {
            let answer = match messaging.edit_message(request).await.map(tonic::Response::into_inner) {
                Ok(edited) => {
                    let room_id = edited.message.map(|message| message.room_id);
                    changed(reference.as_deref(), "Message edited", room_id, message_id, edited.change_seq)
                }
                Err(status) => refusal(&Refusal::of_code(reference, code_of_status(&status))),
            };
            Outcome::Answered(answer)
        }));
    }

    fn delete(&mut self, reference: Option<String>, message_id: MessageId) {
        let mut messaging = self.app.messaging.clone();
        let acting_user_id = self.session.user_id.get();
        let request = DeleteMessageRequest { acting_user_id, message_id: message_id.get() };
        self.current = Some(Box::pin(async move {
            let answer = match messaging.delete_message(request).await.map(tonic::Response::into_inner) {
                Ok(deleted) => {
                    let room_id = Some(deleted.room_id);
                    changed(reference.as_deref(), "Message deleted", room_id, message_id, deleted.change_seq)
                }
                Err(status) => refusal(&Refusal::of_code(reference, code_of_status(&status))),
            };
            Outcome::Answered(answer)
        }));
    }

    fn authenticate(&mut self, reference: Option<String>, token: String) {
        let access = self.app.access.clone();
        self.current = Some(Box::pin(async move {
            let outcome = access.authenticate(&token).await;
            Outcome::Authenticated(reference, outcome)
        }));
    }

    /// Takes up what came of a request; the code to close with, if it was that bad.
    fn finish(&mut self, outcome: Outcome) -> Option<CloseCode> {
        let refused = match outcome {
            Outcome::Answered(answer) => {
                self.socket.outbound.push(answer);
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
                self.socket.outbound.push(refusal(&refused));
                return None;
            }
            Outcome::Authenticated(reference, Ok(session)) if session.user_id == self.session.user_id => {
                self.expires_at = expiry(&self.app, &session);
                self.socket.outbound.push(welcome(reference.as_deref(), &session));
                self.session = session;
                return None;
            }
            Outcome::Authenticated(reference, Ok(_)) => {
                let sentence = "This connection belongs to another user".to_owned();
                Refusal { reference, code: ErrorCode::Unauthenticated, sentence }
            }
            Outcome::Authenticated(reference, Err(code)) => Refusal::of_code(reference, code),
        };
        self.socket.outbound.push(refusal(&refused));
        (refused.code != ErrorCode::Unavailable).then_some(CloseCode::UNAUTHENTICATED)
    }

    fn next_deadline(&self) -> Instant {
        let keep_alive =
            self.pinged_at.map_or(self.last_heard + SILENCE, |pinged_at| pinged_at + ANSWER_LIMIT);
        let deadline = keep_alive.min(self.expires_at);
        // Leaving waits until everything was answered.
        let leaves_at = self.leaves_at.filter(|_| self.is_idle());
        leaves_at.map_or(deadline, |leaves_at| leaves_at.min(deadline))
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.current.is_none()
    }

    /// Does what is due; the code to close with, if that is it.
    async fn meet_deadline(&mut self) -> Option<CloseCode> {
        let now = Instant::now();
        if self.is_idle() && self.leaves_at.is_some_and(|at| at <= now) {
            return Some(CloseCode::RESTART);
        }
        if self.expires_at <= now {
            self.socket.outbound.push(refusal(&Refusal::of_code(None, ErrorCode::TokenExpired)));
            return Some(CloseCode::UNAUTHENTICATED);
        }
        match self.pinged_at {
            Some(pinged_at) if pinged_at + ANSWER_LIMIT <= now => Some(CloseCode::GOING_AWAY),
            Some(_) => None,
            None if self.last_heard + SILENCE <= now => {
                self.pinged_at = Some(now);
                (!self.socket.ping().await).then_some(CloseCode::GOING_AWAY)
            }
            None => None,
        }
    }

    /// Sockets are closed spread over most of the drain time, so that clients do not all come back in the same instant.
    fn time_to_stay(&self) -> Duration {
        self.app.config.process.drain_time.mul_f64(rand::rng().random_range(0.0..0.7))
    }
}

impl UnderWay {
    /// Waits for the answer, and makes it a frame if there is something to say. Safe to cancel.
    async fn answer(&mut self) -> Option<Utf8Bytes> {
        match self {
            Self::Answered(frame) => Some(frame.clone()),
            Self::Typing { pending, reference } => {
                let refused = pending.answer().await.err()?;
                Some(refusal(&Refusal::of_code(reference.clone(), refused)))
            }
            Self::Send { pending, room_id, reference, client_msg_id } => match pending.answer().await {
                Ok(sent) => ack(&sent, *room_id, reference.as_deref(), client_msg_id.as_ref()),
                Err(code) => Some(refusal(&Refusal::of_code(reference.clone(), code))),
            },
        }
    }
}

/// The answer to a stored message, if the client has given something to know it by.
fn ack(
    sent: &Sent,
    room_id: RoomId,
    reference: Option<&str>,
    client_msg_id: Option<&ClientMessageId>,
) -> Option<Utf8Bytes> {
    if reference.is_none() && client_msg_id.is_none() {
        return None;
    }
    let message = sent.message.as_ref()?;
    let ack = ServerFrame::Ack {
        reference,
        client_msg_id: client_msg_id.map(ClientMessageId::as_str),
        room_id: room_id.get(),
        message_id: message.id,
        seq: message.seq,
    };
    Some(ack.encode())
}

fn changed(
    reference: Option<&str>,
    sentence: &str,
    room_id: Option<i64>,
    message_id: MessageId,
    change_seq: i64,
) -> Utf8Bytes {
    let message_id = Some(message_id.get());
    success(
        reference,
        sentence,
        Addition { room_id, message_id, seq: Some(change_seq), ..Addition::default() },
    )
}

/// When a session ends, on the clock of deadlines.
fn expiry(app: &App, session: &Session) -> Instant {
    let remaining_us = session.expires_at.as_micros() - app.clock.now().as_micros();
    Instant::now() + Duration::from_micros(u64::try_from(remaining_us).unwrap_or(0))
}
