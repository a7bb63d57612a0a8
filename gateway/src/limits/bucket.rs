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
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
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
    pub(super) fn take(&mut self, refill: Refill, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + refill.interval;
        let has_token = full_at - now <= refill.time_to_fill;
        if has_token {
            self.full_at = full_at;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, refill: Refill, now: Instant) -> usize {
        std::iter::from_fn(|| bucket.take(refill, now).then_some(())).take(1_000).count()
    }

    #[test]
    fn a_burst_passes_at_once_and_no_more() {
        let (now, refill) = (Instant::now(), Refill::new(3, 7));
        assert_eq!(taken(&mut TokenBucket::full(now), refill, now), 7);
    }

    #[test]
    fn tokens_come_back_at_the_rate_up_to_the_burst() {
        let (start, refill) = (Instant::now(), Refill::new(4, 10));
        let mut bucket = TokenBucket::full(start);
        taken(&mut bucket, refill, start);
        let later = start + Duration::from_secs(2);
        assert_eq!(taken(&mut bucket, refill, later), 8);
        assert_eq!(taken(&mut bucket, refill, later + refill.time_to_fill), 10);
        assert_eq!(taken(&mut bucket, refill, later + Duration::from_secs(3_600)), 10);
    }

    #[test]
    fn a_refused_event_takes_no_token() {
        let (start, refill) = (Instant::now(), Refill::new(1, 1));
        let mut bucket = TokenBucket::full(start);
        assert!(bucket.take(refill, start));
        assert!((0..100).all(|_| !bucket.take(refill, start)));
        assert!(bucket.take(refill, start + Duration::from_secs(1)));
    }
}
