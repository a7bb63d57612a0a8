//! What is due on a connection though nothing comes.

use std::time::Duration;

use tokio::time::Instant;

/// After this silence the server asks whether the client is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the client may take to answer that.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The timers of a connection.
pub(crate) struct Timers {
    last_heard: Instant,
    /// When the client was asked whether it is still there, and has not answered.
    pinged_at: Option<Instant>,
    /// When the session's token ends.
    expires_at: Instant,
    /// When this connection is to be closed because the process drains.
    leaves_at: Option<Instant>,
}

/// What is due.
pub(crate) enum Due {
    Nothing,
    Ping,
    /// The client is gone.
    GiveUp,
    Expire,
    Leave,
}

impl Timers {
    pub(crate) fn new(expires_at: Instant) -> Self {
        Self { last_heard: Instant::now(), pinged_at: None, expires_at, leaves_at: None }
    }

    /// Notes that the client is there, or that nobody would hear it.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged_at = None;
    }

    /// Notes that the session goes on.
    pub(crate) fn renew(&mut self, expires_at: Instant) {
        self.expires_at = expires_at;
    }

    /// Notes that the process drains.
    pub(crate) fn leave_at(&mut self, at: Instant) {
        self.leaves_at = Some(at);
    }

    pub(crate) fn has_to_leave(&self) -> bool {
        self.leaves_at.is_some_and(|at| at <= Instant::now())
    }

    /// The next time something is due; leaving only if there is nothing left to do.
    pub(crate) fn next(&self, may_leave: bool) -> Instant {
        let keep_alive =
            self.pinged_at.map_or(self.last_heard + SILENCE, |pinged_at| pinged_at + ANSWER_LIMIT);
        let deadline = keep_alive.min(self.expires_at);
        let leaves_at = self.leaves_at.filter(|_| may_leave);
        leaves_at.map_or(deadline, |leaves_at| leaves_at.min(deadline))
    }

    /// What is due now. A ping is taken for sent.
    pub(crate) fn meet(&mut self, now: Instant, may_leave: bool) -> Due {
        if may_leave && self.has_to_leave() {
            return Due::Leave;
        }
        if self.expires_at <= now {
            return Due::Expire;
        }
        match self.pinged_at {
            Some(pinged_at) if pinged_at + ANSWER_LIMIT <= now => Due::GiveUp,
            None if self.last_heard + SILENCE <= now => {
                self.pinged_at = Some(now);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }
}
