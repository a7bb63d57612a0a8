//! The deadlines of a gateway's messages on the clock of this replica.
//!
//! The clocks of two machines differ, so a gateway gives times since it opened the stream. The
//! request that was the shortest time on its way shows best when that was on the clock here. One
//! that was held up on its way, by a stalled connection for example, then has less time left.

use std::time::Duration;

use tokio::time::Instant;

use crate::ops::send_messages::SEND_TIMEOUT;

/// How long the fastest request counts. Clocks drift apart by some milliseconds in this time.
const WINDOW: Duration = Duration::from_secs(30);

/// When the stream was opened, on the clock of this replica.
#[derive(Debug, Default)]
pub(super) struct StreamClock {
    latest: Option<Window>,
    /// The best estimate of the window before the latest.
    previous: Option<Instant>,
    /// When the latest request arrived.
    received_at: Option<Instant>,
}

/// The best estimate of a time span.
#[derive(Clone, Copy, Debug)]
struct Window {
    ends_at: Instant,
    opened_at: Instant,
}

impl StreamClock {
    /// Notes that a request was sent this many microseconds after the stream was opened.
    pub(super) fn note(&mut self, sent_at_us: u64, received_at: Instant) {
        self.received_at = Some(received_at);
        let sent_at = Duration::from_micros(sent_at_us);
        let Some(opened_at) = received_at.checked_sub(sent_at) else { return };
        match &mut self.latest {
            Some(window) if received_at < window.ends_at => {
                window.opened_at = window.opened_at.min(opened_at);
            }
            latest => {
                let is_recent = |window: &Window| received_at < window.ends_at + WINDOW;
                self.previous = latest.filter(is_recent).map(|window| window.opened_at);
                *latest = Some(Window { ends_at: received_at + WINDOW, opened_at });
            }
        }
    }

    /// Returns a deadline that is given in microseconds since the stream was opened, or 0 if the
    /// gateway gives none. It is at most [`SEND_TIMEOUT`] after the arrival of the request.
    pub(super) fn deadline(&self, deadline_us: u64) -> Instant {
        let latest = self.received_at.unwrap_or_else(Instant::now) + SEND_TIMEOUT;
        let estimates = self.latest.map(|window| window.opened_at).into_iter().chain(self.previous);
        let deadline = estimates.min().filter(|_| deadline_us > 0);
        let deadline = deadline.and_then(|at| at.checked_add(Duration::from_micros(deadline_us)));
        deadline.map_or(latest, |deadline| deadline.min(latest))
    }
}

#[cfg(test)]
#[path = "tests/stream_clock.rs"]
mod tests;
