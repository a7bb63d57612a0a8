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
pub(super) struct InFlight {
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
    pub(super) fn new(subscribers: usize, max_in_flight: usize, window: Window) -> Self {
        Self {
            subscribers: subscribers as u64,
            window,
            delivered: AtomicU64::new(0),
            permits: Semaphore::new(max_in_flight),
            sends: Mutex::default(),
        }
    }

    /// Waits until a message may be sent. Returns how many may be sent now, up to `max`.
    pub(super) async fn acquire(&self, max: usize) -> usize {
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
    pub(super) fn add_delivered(&self, texts: u64) {
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
    pub(super) async fn wait_until_complete(&self) -> anyhow::Result<()> {
        let expected = self.sends().total * self.subscribers;
        arrivals::wait_for(&self.delivered, expected..=expected, DRAIN_TIMEOUT).await
    }

    /// Returns the times from each send to its last delivery.
    pub(super) fn latencies(&self) -> Latencies {
        self.sends().latencies.clone()
    }

    fn sends(&self) -> MutexGuard<'_, Sends> {
        self.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(subscribers: usize, max: usize) -> InFlight {
        InFlight::new(subscribers, max, Window::after(Duration::ZERO, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn a_message_is_in_flight_until_all_subscribers_have_received_it() {
        let in_flight = in_flight(3, 2);
        assert_eq!(in_flight.acquire(16).await, 2);
        for (texts, permits) in [(2, 0), (2, 1), (2, 2)] {
            in_flight.add_delivered(texts);
            assert_eq!(in_flight.permits.available_permits(), permits);
        }
        assert_eq!(in_flight.latencies().count(), 2);
        in_flight.wait_until_complete().await.unwrap();
    }

    #[tokio::test]
    async fn a_repeated_delivery_is_an_error() {
        let in_flight = in_flight(2, 1);
        in_flight.acquire(1).await;
        in_flight.add_delivered(3);
        let error = in_flight.wait_until_complete().await.unwrap_err();
        assert!(error.to_string().contains("3 deliveries"), "{error}");
    }
}
