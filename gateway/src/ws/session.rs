//! An authenticated connection, in one task: it reads frames, has them handled one after the other,
//! and writes what is queued.

mod drain;
mod in_flight;
mod requests;
mod timers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{ErrorCode, MessageContent, RoomId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::{Span, SpanBuilder};
use rand::Rng;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::api::dto::ClientMessageId;
use crate::app::App;
use crate::auth::verifier::Identity;
use crate::limits::TokenBucket;
use crate::messaging_client;
use crate::ws::frames::Frames;
use crate::ws::protocol::{ClientFrame, ErrorFrame, Request, refusal};
use crate::ws::send_queue::{CloseCode, SendQueue, Wake};
use crate::ws::session::in_flight::InFlight;
use crate::ws::session::requests::{Current, Outcome};
use crate::ws::session::timers::{Due, Timers};
use crate::ws::socket::{Incoming, Socket};

/// Frames of one connection that are under way; beyond it none is read.
const MAX_IN_FLIGHT: usize = 64;
/// Frames that were read and wait for their turn: enough to see that the client has left, and few,
/// since each may be long.
const MAX_WAITING: usize = 8;
/// At most one sign of typing is passed on in this time.
const TYPING_INTERVAL: Duration = Duration::from_secs(2);

/// An authenticated connection.
pub(crate) struct Session {
    app: App,
    /// What calls to services are made in.
    context: RequestContext,
    socket: Socket,
    send_queue: Arc<SendQueue>,
    session: Arc<Identity>,
    subscribed: HashSet<RoomId>,
    /// When rooms whose subscription has ended were last looked for among them.
    subscribed_checked_at: Option<Instant>,
    /// The frames that may come.
    frames: TokenBucket,
    /// Sends and signs of typing, whose answers come in the order of their frames.
    in_flight: VecDeque<InFlight>,
    /// What was read and has to wait for its turn. Reading on shows that the client is still there.
    waiting: VecDeque<Incoming>,
    /// The one other request that is being handled; nothing else is meanwhile.
    current: Option<Current>,
    last_typing: HashMap<RoomId, Instant>,
    timers: Timers,
    /// Goes off at the next deadline or before it, when it is set anew: most timers move on
    /// before they are met.
    alarm: Pin<Box<Sleep>>,
}

/// What a connection wakes up for.
enum Event {
    Woken(Wake),
    Answered(Option<Frames>),
    Finished(Outcome),
    Incoming(Incoming),
    Deadline,
}

impl Session {
    pub(crate) fn new(
        app: App,
        context: RequestContext,
        socket: Socket,
        session: Arc<Identity>,
    ) -> Self {
        let timers = Timers::new(expiry(&app, &session));
        let alarm = Box::pin(sleep_until(timers.next(true)));
        Self {
            app,
            context,
            send_queue: socket.send_queue().clone(),
            socket,
            session,
            subscribed: HashSet::new(),
            subscribed_checked_at: None,
            frames: TokenBucket::full(Instant::now()),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            current: None,
            last_typing: HashMap::new(),
            timers,
            alarm,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self: Box<Self>) {
        let id = self.send_queue.id;
        self.app.hub.connect(&self.send_queue, self.session.user_id);
        if self.app.token_verifier.is_inactive(self.session.user_id) {
            // Locked out between the look at the token and now: too early for the hub to close this
            // socket.
            self.send_queue.push(refusal(&ErrorFrame::of_code(None, ErrorCode::InactiveUser)));
            self.send_queue.close(CloseCode::UNAUTHENTICATED);
        }
        let code = self.live().await;
        // A subscription that is being made ends with its future.
        self.current.take_if(|current| code.is_some() || current.is_subscription());
        self.app.hub.disconnect(id, &self.subscribed);
        match code {
            Some(code) => {
                tracing::debug!(close.code = code.0, "closing a socket");
                Box::pin(self.socket.close(code)).await;
            }
            None => Box::pin(self.drain_pending()).await,
        }
    }

    /// Serves until the connection is to be closed, with a code unless the client is gone.
    async fn live(&mut self) -> Option<CloseCode> {
        loop {
            match self.next_event().await {
                Event::Woken(Wake::Queued(closing)) => {
                    if !self.write().await {
                        return self.send_queue.is_cut().then_some(CloseCode::TOO_SLOW);
                    }
                    if closing.is_some() {
                        return closing;
                    }
                }
                Event::Answered(answer) => {
                    self.in_flight.pop_front();
                    answer.into_iter().for_each(|frame| self.send_queue.push(frame));
                }
                Event::Finished(outcome) => {
                    self.current = None;
                    if let Some(code) = self.finish(outcome) {
                        return Some(code);
                    }
                }
                Event::Incoming(Incoming::End) => return None,
                Event::Incoming(incoming) => self.hear(incoming),
                Event::Deadline => {
                    if let Some(code) =
                        Box::pin(self.context.clone().scope(self.meet_deadline())).await
                    {
                        return Some(code);
                    }
                }
                Event::Woken(Wake::Draining) => {
                    self.timers.leave_at(Instant::now() + self.time_to_stay())
                }
            }
            if let Some(code) = self.handle_waiting() {
                return Some(code);
            }
        }
    }

    /// Writes what is queued; whether that worked. What is being handled goes on meanwhile: others
    /// wait for the turn that it may have.
    async fn write(&mut self) -> bool {
        let mut written = pin!(self.socket.write());
        if let Some(current) = &mut self.current {
            tokio::select! {
                written = written.as_mut() => return written,
                () = current.handle() => {}
            }
        }
        written.await
    }

    async fn next_event(&mut self) -> Event {
        let may_read = self.may_read();
        if !may_read {
            self.timers.hear(Instant::now());
        }
        self.set_alarm();
        let (first, current) = (self.in_flight.front_mut(), self.current.as_mut());
        let (has_first, has_current) = (first.is_some(), current.is_some());
        tokio::select! {
            wake = self.send_queue.wake() => Event::Woken(wake),
            answer = async { match first { Some(first) => first.answer().await, None => None } }, if has_first => {
                Event::Answered(answer)
            }
            Some(outcome) = async { current?.outcome().await }, if has_current => {
                Event::Finished(outcome)
            }
            incoming = self.socket.read(), if may_read => Event::Incoming(incoming),
            () = self.alarm.as_mut() => Event::Deadline,
        }
    }

    fn set_alarm(&mut self) {
        let next = self.timers.next(self.may_leave());
        if self.alarm.is_elapsed() || next < self.alarm.deadline() {
            self.alarm.as_mut().reset(next);
        }
    }

    /// Frames are read while there is room for what they ask, so that a client that asks too much
    /// waits in its own queue.
    fn may_read(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT
            && self.waiting.len() < MAX_WAITING
            && !self.timers.has_to_leave()
    }

    /// Leaving waits until everything was answered, except for who waits to be subscribed:
    /// elsewhere it is his turn sooner.
    fn may_leave(&self) -> bool {
        self.in_flight.is_empty() && self.current.as_ref().is_none_or(Current::is_subscription)
    }

    fn hear(&mut self, incoming: Incoming) {
        let now = Instant::now();
        self.timers.hear(now);
        match incoming {
            Incoming::Frame(frame) => {
                let frame = self.within_limit(frame, now);
                self.waiting.push_back(Incoming::Frame(frame));
            }
            Incoming::TooBig => self.waiting.push_back(incoming),
            Incoming::Nothing | Incoming::End => {}
        }
    }

    /// Every frame counts, right or wrong.
    fn within_limit(
        &mut self,
        frame: Result<ClientFrame, ErrorFrame>,
        now: Instant,
    ) -> Result<ClientFrame, ErrorFrame> {
        self.app.limits.take_frame(&mut self.frames, now).map_err(|code| {
            let reference = match &frame {
                Ok(frame) => frame.reference.clone(),
                Err(refused) => refused.reference.clone(),
            };
            ErrorFrame::of_code(reference, code)
        })?;
        frame
    }

    /// Handles what waits, as far as it need not wait for answers; the code to close with, if it
    /// has come to that. Sends and signs of typing are passed on one behind the other; everything
    /// else waits until they were answered.
    fn handle_waiting(&mut self) -> Option<CloseCode> {
        while self.current.is_none()
            && let Some(incoming) = self.waiting.pop_front()
        {
            match incoming {
                Incoming::Frame(Ok(ClientFrame {
                    reference,
                    request: Request::Send { room_id, content, client_msg_id },
                })) => self.send(reference, room_id, content, client_msg_id),
                Incoming::Frame(Ok(ClientFrame {
                    reference,
                    request: Request::Typing { room_id },
                })) => self.show_typing(reference, room_id),
                Incoming::Frame(Err(refused)) => {
                    self.in_flight.push_back(InFlight::Answered(refusal(&refused)))
                }
                incoming if !self.in_flight.is_empty() => {
                    self.waiting.push_front(incoming);
                    return None;
                }
                Incoming::Frame(Ok(frame)) => self.begin(frame),
                Incoming::TooBig => return Some(self.refuse_too_big()),
                Incoming::Nothing | Incoming::End => {}
            }
        }
        if self.waiting.is_empty() {
            // An idle connection has no memory to spare.
            self.waiting.shrink_to_fit();
        }
        None
    }

    fn refuse_too_big(&self) -> CloseCode {
        let sentence = "A frame must not be larger than 64 KiB".to_owned();
        let refused = ErrorFrame { reference: None, code: ErrorCode::InvalidFrame, sentence };
        self.send_queue.push(refusal(&refused));
        CloseCode::TOO_BIG
    }

    fn send(
        &mut self,
        reference: Option<String>,
        room_id: RoomId,
        content: MessageContent,
        client_msg_id: Option<ClientMessageId>,
    ) {
        let span = self.enter("websocket send_message").map(|(span, _)| span).unwrap_or_default();
        let submission = span.start_span(|| messaging_client::submission(room_id));
        let pending = self.app.messaging_client.submit(
            room_id,
            &self.session,
            content,
            client_msg_id.as_ref(),
            Some(self.send_queue.id),
            submission,
        );
        self.in_flight.push_back(InFlight::Send {
            pending,
            room_id,
            reference,
            client_msg_id,
            span,
        });
    }

    fn show_typing(&mut self, reference: Option<String>, room_id: RoomId) {
        let now = Instant::now();
        self.last_typing.retain(|_, shown_at| now - *shown_at < TYPING_INTERVAL);
        if self.last_typing.contains_key(&room_id) {
            return;
        }
        self.last_typing.insert(room_id, now);
        let pending =
            self.app.messaging_client.show_typing(room_id, &self.session, self.send_queue.id);
        self.in_flight.push_back(InFlight::Typing { pending, reference });
    }

    /// Begins a frame that has a trace of its own; what is asked of services for it is asked in the
    /// context. Nothing for most, which are not recorded.
    fn enter(&self, name: &'static str) -> Option<(Span, RequestContext)> {
        let mut trace = self.app.sampling.for_frame()?;
        let request_id = self.context.request_id.clone();
        let span = trace.enter(|| {
            SpanBuilder::server(name).with("parlance.request.id", request_id.to_string())
        });
        Some((span, RequestContext { request_id, trace, deadline: None }))
    }

    /// Does what is due; the code to close with, if that is it.
    async fn meet_deadline(&mut self) -> Option<CloseCode> {
        match self.timers.meet(Instant::now(), self.may_leave()) {
            Due::Nothing => None,
            Due::Ping => {
                let is_asked = self.socket.ping().await;
                let code = if self.send_queue.is_cut() {
                    CloseCode::TOO_SLOW
                } else {
                    CloseCode::GOING_AWAY
                };
                (!is_asked).then_some(code)
            }
            Due::GiveUp => Some(CloseCode::GOING_AWAY),
            Due::Expire => self.expire().await,
            Due::Leave => Some(CloseCode::RESTART),
        }
    }

    /// Sockets are closed spread over most of the drain time, so that clients do not all come back
    /// in the same instant.
    fn time_to_stay(&self) -> Duration {
        self.app.lifecycle.drain_timeout().mul_f64(rand::rng().random_range(0.0..0.7))
    }
}

/// When a session ends, on the clock of timers.
fn expiry(app: &App, session: &Identity) -> Instant {
    let remaining_us = session.expires_at.as_micros() - app.clock.now().as_micros();
    Instant::now() + Duration::from_micros(u64::try_from(remaining_us).unwrap_or(0))
}
