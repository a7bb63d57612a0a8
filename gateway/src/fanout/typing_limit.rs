//! How many typing events of a room this gateway passes on. In a large room many people type at
//! once, and each of them is shown to all others.

use std::collections::VecDeque;
use std::time::Duration;

use parlance_core::UserId;
use tokio::time::Instant;

use crate::limits::{Refill, TokenBucket};

/// The most typing events of a room in a second, and at once.
const MAX_PER_SECOND: usize = 10;
/// The most frames that the typing events of a room make in a second. One event a second is passed
/// on in any case.
const MAX_FRAMES_PER_SECOND: usize = 20_000;
/// A user is shown as typing once in this time, on however many connections they type. Shorter than
/// the interval of one connection, so that an event that arrives a little early is not lost.
const REPEAT_INTERVAL: Duration = Duration::from_millis(1_500);

/// The typing events that a room has passed on. The first to type are shown.
pub(super) struct TypingLimit {
    bucket: TokenBucket,
    /// Who was shown lately, in order: at most as many as the bucket lets through meanwhile.
    recent: VecDeque<(Instant, UserId)>,
}

impl TypingLimit {
    pub(super) fn new() -> Self {
        Self { bucket: TokenBucket::full(Instant::now()), recent: VecDeque::new() }
    }

    /// Returns true, and counts the event, if it may be passed on to this number of subscribers.
    pub(super) fn allow(&mut self, user_id: UserId, subscribers: usize, now: Instant) -> bool {
        let is_old = |(shown_at, _): &mut (Instant, UserId)| now - *shown_at >= REPEAT_INTERVAL;
        while self.recent.pop_front_if(is_old).is_some() {}
        let per_second = (MAX_FRAMES_PER_SECOND / subscribers.max(1)).clamp(1, MAX_PER_SECOND);
        let refill = Refill::new(per_second as u32, Duration::from_secs(1), per_second as u32);
        let is_allowed =
            self.recent.iter().all(|(_, shown)| *shown != user_id) && self.bucket.take(refill, now);
        if is_allowed {
            self.recent.push_back((now, user_id));
        }
        is_allowed
    }
}

#[cfg(test)]
#[path = "tests/typing_limit.rs"]
mod tests;
