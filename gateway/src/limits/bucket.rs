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
    /// Makes buckets of `burst` tokens to which `per_second` are added. Both are above 0, so the
    /// next token is at most a second away.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, time_to_fill: interval * burst }
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
}

#[cfg(test)]
#[path = "tests/bucket.rs"]
mod tests;
