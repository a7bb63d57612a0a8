//! The state of a connection.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::context::RequestContext;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::app::App;
use crate::auth::identity::Identity;
use crate::limits::{InFlightPermit, TokenBucket, UserShare};
use crate::ws::close_code::CloseCode;
use crate::ws::protocol::{ClientFrame, ErrorFrame};
use crate::ws::send_queue::SendQueue;
use crate::ws::session::active_request::ActiveRequest;
use crate::ws::session::in_flight::InFlight;
use crate::ws::session::timers::Timers;
use crate::ws::socket::Socket;

/// A wait for a permit.
pub(super) type PermitWait = Pin<Box<dyn Future<Output = Option<InFlightPermit>> + Send>>;

/// An authenticated connection.
pub(crate) struct Session {
    pub(super) app: App,
    /// The context of calls to services.
    pub(super) context: RequestContext,
    pub(super) socket: Socket,
    pub(super) send_queue: Arc<SendQueue>,
    pub(super) identity: Arc<Identity>,
    pub(super) subscribed: HashSet<RoomId>,
    /// When ended subscriptions were last removed from `subscribed`.
    pub(super) subscribed_checked_at: Option<Instant>,
    /// The rate limit of incoming frames.
    pub(super) frame_bucket: TokenBucket,
    /// Sends and typing events, which are answered in the order of their frames.
    pub(super) in_flight: VecDeque<InFlight>,
    /// Frames that wait for the requests before them. Reading ahead detects that a client is gone.
    pub(super) waiting: VecDeque<Result<ClientFrame, ErrorFrame>>,
    /// What all connections of the user share.
    pub(super) user_share: Arc<UserShare>,
    /// The permit for the next send or typing event.
    pub(super) permit: Option<InFlightPermit>,
    /// Waits for the permit, if the user has too many requests in flight.
    pub(super) permit_wait: Option<PermitWait>,
    /// A request of any other kind. No frame is handled until it is finished.
    pub(super) active: Option<ActiveRequest>,
    pub(super) last_typing: HashMap<RoomId, Instant>,
    /// True once the user has sent a message here.
    pub(super) has_sent: bool,
    pub(super) timers: Timers,
    /// Fires at the next deadline or before. It is moved only to an earlier time: most deadlines
    /// are postponed before they are reached.
    pub(super) alarm: Pin<Box<Sleep>>,
}

impl Session {
    pub(crate) fn new(
        app: App,
        context: RequestContext,
        socket: Socket,
        identity: Arc<Identity>,
    ) -> Self {
        let timers = Timers::new(expiry(&app, &identity));
        let alarm = Box::pin(sleep_until(timers.next(true)));
        let user_share = app.limits.user_share(identity.user_id);
        Self {
            app,
            context,
            send_queue: socket.send_queue().clone(),
            socket,
            identity,
            subscribed: HashSet::new(),
            subscribed_checked_at: None,
            frame_bucket: TokenBucket::full(Instant::now()),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            user_share,
            permit: None,
            permit_wait: None,
            active: None,
            last_typing: HashMap::new(),
            has_sent: false,
            timers,
            alarm,
        }
    }

    /// Registers the connection with its token, so that it is closed when the token ends, and
    /// closes it if the token has ended before.
    pub(super) fn register(&self) {
        self.app.hub.connect(&self.send_queue, self.identity.clone());
        if let Err(code) = self.app.token_verifier.check(&self.identity) {
            self.send_queue
                .revoke(ErrorFrame::new(None, code).encode(), CloseCode::for_refused_token(code));
        }
    }

    pub(super) fn push_error(&self, error: &ErrorFrame) {
        self.send_queue.push(error.encode());
    }
}

/// Returns when the token of an identity expires.
pub(super) fn expiry(app: &App, identity: &Identity) -> Instant {
    let remaining_us = identity.token.expires_at.as_micros() - app.clock.now().as_micros();
    Instant::now() + Duration::from_micros(u64::try_from(remaining_us).unwrap_or(0))
}
