//! Whether Redis confirms subscriptions at present.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// As many connections within [`FLAPPING_TIME`] mean that Redis cuts its clients again and again.
const FLAPPING_CONNECTIONS: usize = 3;
const FLAPPING_TIME: Duration = Duration::from_secs(10);

/// The answer, for callers that would wait for a confirmation. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Availability(Arc<AtomicBool>);

impl Availability {
    /// Redis counts as available until the opposite is known.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, is_available: bool) {
        let was_available = self.0.swap(is_available, Ordering::Relaxed);
        match (was_available, is_available) {
            (true, false) => tracing::warn!(
                "Redis is away; the log poller delivers the messages of other replicas"
            ),
            (false, true) => tracing::info!("Redis is back"),
            _ => {}
        }
    }
}

/// When the last connections were made.
#[derive(Debug, Default)]
pub(super) struct Connections(VecDeque<Instant>);

impl Connections {
    pub(super) fn add(&mut self) {
        self.0.push_back(Instant::now());
        if self.0.len() > FLAPPING_CONNECTIONS {
            self.0.pop_front();
        }
    }

    /// Returns true if connections were lost again and again just now.
    pub(super) fn are_flapping(&self) -> bool {
        self.0.len() == FLAPPING_CONNECTIONS
            && self.0.front().is_some_and(|first| first.elapsed() < FLAPPING_TIME)
    }
}
