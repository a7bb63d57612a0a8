//! The loop that serves a connection.

use std::pin::pin;
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, timeout};

use crate::limits::InFlightPermit;
use crate::ws::close_code::CloseCode;
use crate::ws::frames::Frames;
use crate::ws::protocol::{ClientFrame, ErrorFrame, Request};
use crate::ws::send_queue::Wake;
use crate::ws::session::active_request::Finished;
use crate::ws::session::state::Session;
use crate::ws::session::timers::Due;
use crate::ws::socket::Incoming;

/// Requests in flight of one connection. Beyond this number no frame is read: a client that sends
/// too fast waits in its own connection. So do frames beyond the requests in flight of a user.
const MAX_IN_FLIGHT: usize = 64;
/// Frames that are read ahead: enough to detect that a client is gone, and few because each may be
/// long.
const MAX_WAITING: usize = 8;
/// How long the requests may take that a client has sent before its last frame.
const LAST_REQUESTS_TIMEOUT: Duration = Duration::from_secs(2);

/// What the loop waits for.
enum Event {
    Woken(Wake),
    Answered(Option<Frames>),
    Finished(Finished),
    Permitted(Option<InFlightPermit>),
    Incoming(Incoming),
    Deadline,
}

/// Why the loop ends.
enum Ending {
    /// The gateway closes the connection.
    Closing(CloseCode),
    /// The client sends nothing any more: this was its last frame, or it is gone.
    Last(Incoming),
}

impl Session {
    /// Serves the connection until it is closed.
    pub(crate) async fn run(mut self: Box<Self>) {
        self.register();
        let code = match self.serve().await {
            Ending::Closing(code) => Some(code),
            Ending::Last(last) => self.finish(last).await,
        };
        // What is not finished is dropped.
        self.active = None;
        self.app.hub.disconnect(self.send_queue.id, &self.subscribed);
        if let Some(code) = code {
            tracing::debug!(close.code = code.0, "closing a socket");
            Box::pin(self.socket.close(code)).await;
        }
    }

    /// Serves the connection until it is to be closed or the client sends nothing any more.
    async fn serve(&mut self) -> Ending {
        // The answer to the token is written before anything is read: a pong to a ping that has
        // arrived already would overtake it.
        if !self.write().await {
            return Ending::Last(Incoming::End);
        }
        loop {
            match self.next_event().await {
                Event::Woken(Wake::Queued(closing)) => {
                    if !self.write().await {
                        let is_shed = self.send_queue.is_shed();
                        return if is_shed {
                            Ending::Closing(CloseCode::TOO_SLOW)
                        } else {
                            Ending::Last(Incoming::End)
                        };
                    }
                    if let Some(code) = closing {
                        return Ending::Closing(code);
                    }
                }
                Event::Woken(Wake::Draining) => {
                    self.timers.drain_at = Some(Instant::now() + self.drain_delay())
                }
                Event::Answered(answer) => self.on_answered(answer),
                Event::Finished(finished) => {
                    self.active = None;
                    if let Some(code) = self.on_finished(finished) {
                        return Ending::Closing(code);
                    }
                }
                Event::Permitted(permit) => {
                    self.permit_wait = None;
                    self.permit = permit;
                }
                Event::Incoming(Incoming::Frame(frame)) => self.on_frame(frame),
                Event::Incoming(Incoming::KeepAlive) => self.timers.note_activity(Instant::now()),
                Event::Incoming(last) => return Ending::Last(last),
                Event::Deadline => {
                    let context = self.context.clone();
                    if let Some(code) = Box::pin(context.scope(self.on_deadline())).await {
                        return Ending::Closing(code);
                    }
                }
            }
            self.handle_waiting();
        }
    }

    async fn next_event(&mut self) -> Event {
        let may_read = self.may_read();
        if !may_read {
            self.timers.note_activity(Instant::now());
        }
        self.set_alarm();
        let (first, active) = (self.in_flight.front_mut(), self.active.as_mut());
        let (has_first, has_active) = (first.is_some(), active.is_some());
        let permit_wait = self.permit_wait.as_mut();
        let is_waiting = permit_wait.is_some();
        tokio::select! {
            wake = self.send_queue.wait() => Event::Woken(wake),
            answer = async { first?.answer().await }, if has_first => Event::Answered(answer),
            Some(finished) = async { active?.finish().await }, if has_active => {
                Event::Finished(finished)
            }
            permit = async { permit_wait?.await }, if is_waiting => Event::Permitted(permit),
            incoming = self.socket.read(), if may_read => Event::Incoming(incoming),
            () = self.alarm.as_mut() => Event::Deadline,
        }
    }

    /// Writes what is queued. The active request continues: it may hold a replay permit.
    async fn write(&mut self) -> bool {
        let mut written = pin!(self.socket.write());
        if let Some(active) = &mut self.active {
            tokio::select! {
                written = written.as_mut() => return written,
                () = active.run() => {}
            }
        }
        written.await
    }

    fn set_alarm(&mut self) {
        let next = self.timers.next(self.may_close());
        if self.alarm.is_elapsed() || next < self.alarm.deadline() {
            self.alarm.as_mut().reset(next);
        }
    }

    fn may_read(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT
            && self.waiting.len() < MAX_WAITING
            && !self.timers.is_drain_due()
    }

    /// Returns true if a drain may close the connection: all requests are answered, and none waits
    /// for a permit. A subscription does not count, because it starts sooner on another gateway.
    fn may_close(&self) -> bool {
        self.in_flight.is_empty()
            && self.permit_wait.is_none()
            && self.active.as_ref().is_none_or(|active| active.is_subscribe)
    }

    fn on_frame(&mut self, frame: Result<ClientFrame, ErrorFrame>) {
        let now = Instant::now();
        self.timers.note_activity(now);
        let frame = self.limit_rate(frame, now);
        self.waiting.push_back(frame);
    }

    /// Queues the answer to the first request in flight.
    fn on_answered(&mut self, answer: Option<Frames>) {
        self.in_flight.pop_front();
        answer.into_iter().for_each(|frame| self.send_queue.push(frame));
    }

    /// Counts a frame, valid or not, against the rate limit.
    fn limit_rate(
        &mut self,
        frame: Result<ClientFrame, ErrorFrame>,
        now: Instant,
    ) -> Result<ClientFrame, ErrorFrame> {
        let Err(code) = self.app.limits.take_frame(&mut self.frame_bucket, now) else {
            return frame;
        };
        let reference = frame.map_or_else(|error| error.reference, |frame| frame.reference);
        Err(ErrorFrame::new(reference, code))
    }

    /// Acts on a deadline. Returns the code to close with, if the connection is to be closed.
    async fn on_deadline(&mut self) -> Option<CloseCode> {
        match self.timers.due(Instant::now(), self.may_close()) {
            Due::Nothing => None,
            Due::Ping => self.ping().await,
            Due::CloseDead => Some(CloseCode::GOING_AWAY),
            Due::Expire => self.expire().await,
            Due::CloseForDrain => Some(CloseCode::RESTART),
        }
    }

    async fn ping(&mut self) -> Option<CloseCode> {
        if self.socket.ping().await {
            return None;
        }
        let is_shed = self.send_queue.is_shed();
        Some(if is_shed { CloseCode::TOO_SLOW } else { CloseCode::GOING_AWAY })
    }

    /// Returns a random part of the drain time, so that the clients do not all reconnect at once.
    fn drain_delay(&self) -> Duration {
        self.app.lifecycle.drain_timeout().mul_f64(rand::rng().random_range(0.0..0.7))
    }

    /// Finishes what the client has sent before its last frame. Returns the code to close with, or
    /// none if the client is gone. It then sees in the history which of its requests were handled.
    async fn finish(&mut self, last: Incoming) -> Option<CloseCode> {
        // A subscription has no use any more.
        self.active.take_if(|active| active.is_subscribe);
        self.waiting.retain(|frame| !is_subscribe(frame));
        let _ = Box::pin(timeout(LAST_REQUESTS_TIMEOUT, self.finish_requests())).await;
        match last {
            Incoming::TooBig => Some(self.refuse_too_big()),
            Incoming::Close(code) => Some(code),
            _ => None,
        }
    }

    async fn finish_requests(&mut self) {
        loop {
            self.handle_waiting();
            if let Some(active) = &mut self.active {
                let finished = active.finish().await;
                self.active = None;
                if finished.and_then(|finished| self.on_finished(finished)).is_some() {
                    // The frames behind a refused token are not handled.
                    return;
                }
            } else if let Some(first) = self.in_flight.front_mut() {
                let answer = first.answer().await;
                self.on_answered(answer);
            } else if let Some(wait) = &mut self.permit_wait {
                self.permit = wait.await;
                self.permit_wait = None;
            } else {
                return;
            }
        }
    }
}

fn is_subscribe(frame: &Result<ClientFrame, ErrorFrame>) -> bool {
    frame.as_ref().is_ok_and(|frame| matches!(frame.request, Request::Subscribe { .. }))
}
