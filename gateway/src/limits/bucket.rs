//! Token buckets: events at any speed up to a burst, and at a steady rate in the long run.

use std::time::Duration;

use tokio::time::Instant;

/// The rate and the size of a bucket, shared by many buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refill {
    /// The time in which one token is added.
    interval: Duration,
    /// The time in which an empty bucket becomes full.
    time_to_fill: Duration,
}

impl Refill {
    /// Makes buckets of `burst` tokens to which `count` are added in each period. Both are above 0.
    pub(crate) fn new(count: u32, period: Duration, burst: u32) -> Self {
        let interval = period / count;
        Self { interval, time_to_fill: interval * burst }
    }

    /// After this time, in whole seconds, an empty bucket has a token.
    pub(super) fn retry_after(self) -> Duration {
        let is_whole = self.interval.subsec_nanos() == 0;
        Duration::from_secs(self.interval.as_secs() + u64::from(!is_whole))
    }
}

/// A bucket, stored as the time when it will be full. It needs no task to fill it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    full_at: Instant,
}

impl TokenBucket {
    /// Makes a bucket that is full now.
    pub(crate) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token. Returns false if there is none.
    pub(crate) fn take(&mut self, refill: Refill, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + refill.interval;
        let has_token = full_at - now <= refill.time_to_fill;
        if has_token {
            self.full_at = full_at;
        }
        has_token
    }

    /// Gives a token back that was taken.
    pub(crate) fn give_back(&mut self, refill: Refill) {
        // A clock that has just begun cannot be set back. The bucket then fills by itself.
        self.full_at = self.full_at.checked_sub(refill.interval).unwrap_or(self.full_at);
    }
}

#[cfg(test)]
#[path = "tests/bucket.rs"]
mod tests;
