//! The deadlines of a connection.

use std::time::Duration;

use tokio::time::Instant;

/// The silence of the client after which it is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PONG_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Timers {
    last_activity: Instant,
    /// When the client was pinged. `None` if it has sent something since.
    pinged_at: Option<Instant>,
    pub(super) token_expires_at: Instant,
    /// When the connection is closed because the process drains.
    pub(super) drain_at: Option<Instant>,
}

/// What is to be done.
pub(super) enum Due {
    Nothing,
    Ping,
    /// The client has not answered a ping.
    CloseDead,
    Expire,
    CloseForDrain,
}

impl Timers {
    pub(super) fn new(token_expires_at: Instant) -> Self {
        Self { last_activity: Instant::now(), pinged_at: None, token_expires_at, drain_at: None }
    }

    /// Notes that the client is active, or that nothing is read from it.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.last_activity = now;
        self.pinged_at = None;
    }

    pub(super) fn is_drain_due(&self) -> bool {
        self.drain_at.is_some_and(|at| at <= Instant::now())
    }

    /// Returns the next deadline. The one for a drain counts only if the connection may be closed.
    pub(super) fn next(&self, may_close: bool) -> Instant {
        let keep_alive = self
            .pinged_at
            .map_or(self.last_activity + PING_INTERVAL, |pinged_at| pinged_at + PONG_TIMEOUT);
        let deadline = keep_alive.min(self.token_expires_at);
        let drain_at = self.drain_at.filter(|_| may_close);
        drain_at.map_or(deadline, |drain_at| drain_at.min(deadline))
    }

    /// Returns what is due now. The caller sends the ping that this returns.
    pub(super) fn due(&mut self, now: Instant, may_close: bool) -> Due {
        if may_close && self.is_drain_due() {
            return Due::CloseForDrain;
        }
        if self.token_expires_at <= now {
            return Due::Expire;
        }
        match self.pinged_at {
            Some(pinged_at) if pinged_at + PONG_TIMEOUT <= now => Due::CloseDead,
            None if self.last_activity + PING_INTERVAL <= now => {
                self.pinged_at = Some(now);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }
}
