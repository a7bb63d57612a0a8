//! How long ago auth was heard of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When a stream last brought a message. Read for each request.
pub(super) struct Freshness {
    started: Instant,
    /// In milliseconds after `started`. 0 before the first complete state.
    heard_at_ms: AtomicU64,
}

impl Freshness {
    /// Nothing was heard yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, heard_at_ms: AtomicU64::new(0) }
    }

    /// Notes that a stream has brought a message.
    pub(super) fn note_message(&self, now: Instant) {
        let elapsed_ms = now.duration_since(self.started).as_millis();
        let heard_at_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX).max(1);
        self.heard_at_ms.store(heard_at_ms, Ordering::Relaxed);
    }

    /// Returns the time since the last message, or `None` before the first complete state.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let heard_at_ms = self.heard_at_ms.load(Ordering::Relaxed);
        let heard_at = self.started + Duration::from_millis(heard_at_ms);
        (heard_at_ms > 0).then(|| now.saturating_duration_since(heard_at))
    }
}

#[cfg(test)]
#[path = "tests/freshness.rs"]
mod tests;
