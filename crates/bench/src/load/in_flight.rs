//! The messages of *fan-out* that are in flight: sent, and not received by all subscribers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_measure::Latencies;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::arrivals;
use crate::usage::Window;

/// Bounds the time from the last send to the last delivery.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Bounds how many messages are in flight, and measures how long each is.
pub struct InFlight {
    subscribers: u64,
    pub(super) window: Window,
    /// Texts that all subscribers together have received.
    delivered: AtomicU64,
    /// One for each message that may be sent now.
    permits: Semaphore,
    sends: Mutex<Sends>,
}

#[derive(Default)]
struct Sends {
    /// When each message in flight was sent, the oldest first.
    sent_at: VecDeque<Instant>,
    total: u64,
    latencies: Latencies,
}

impl InFlight {
    /// Returns a counter without messages.
    pub fn new(subscribers: usize, max_in_flight: usize, window: Window) -> Self {
        Self {
            subscribers: subscribers as u64,
            window,
            delivered: AtomicU64::new(0),
            permits: Semaphore::new(max_in_flight),
            sends: Mutex::default(),
        }
    }

    /// Waits until a message may be sent. Returns how many may be sent now, up to `max`.
    pub async fn acquire(&self, max: usize) -> usize {
        let mut acquired = 0;
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
            acquired += 1;
        }
        while acquired < max
            && let Ok(permit) = self.permits.try_acquire()
        {
            permit.forget();
            acquired += 1;
        }
        let mut sends = self.sends();
        sends.total += acquired as u64;
        sends.sent_at.extend(std::iter::repeat_n(Instant::now(), acquired));
        acquired
    }

    /// Adds texts that a subscriber has received.
    ///
    /// All subscribers receive all messages in the same order, so `delivered / subscribers` counts
    /// the messages that all have received. While several messages are in flight this is an upper
    /// bound: a fast subscriber may have texts of later messages.
    pub fn add_delivered(&self, texts: u64) {
        let before = self.delivered.fetch_add(texts, Ordering::Relaxed);
        let completed = (before + texts) / self.subscribers - before / self.subscribers;
        if completed > 0 {
            self.complete(completed);
        }
    }

    fn complete(&self, count: u64) {
        let now = Instant::now();
        let mut sends = self.sends();
        for _ in 0..count {
            if let Some(sent_at) = sends.sent_at.pop_front()
                && self.window.contains(now)
            {
                sends.latencies.record(now - sent_at);
            }
        }
        drop(sends);
        self.permits.add_permits(usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Returns how many texts have been received.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Waits until every subscriber has received every message once.
    pub async fn wait_until_complete(&self) -> anyhow::Result<()> {
        let expected = self.sends().total * self.subscribers;
        arrivals::wait_for(&self.delivered, expected..=expected, DRAIN_TIMEOUT).await
    }

    /// Returns the times from each send to its last delivery.
    pub fn latencies(&self) -> Latencies {
        self.sends().latencies.clone()
    }

    fn sends(&self) -> MutexGuard<'_, Sends> {
        self.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
