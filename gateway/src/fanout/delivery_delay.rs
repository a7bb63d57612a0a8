//! The time of messages from the commit to the send queues.

use opentelemetry::metrics::Histogram;
use parlance_core::{Clock, Timestamp};

use crate::metrics::seconds;

/// Records delays. Postgres sets the time of creation, so a difference between the clocks counts as
/// delay.
#[derive(Clone, Debug)]
pub(super) struct DeliveryDelay {
    clock: Clock,
    delays: Histogram<f64>,
}

impl DeliveryDelay {
    pub(super) fn new(clock: Clock) -> Self {
        let delays = seconds(
            "parlance.gateway.delivery.delay",
            "Time from a message's creation in the store to the send queues.",
            &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0],
        );
        Self { clock, delays }
    }

    /// Records the delays of messages that are queued now.
    pub(super) fn record(&self, created: Vec<Timestamp>) {
        if created.is_empty() {
            return;
        }
        let now = self.clock.now().as_micros();
        for created_at in created {
            let micros = now.saturating_sub(created_at.as_micros()).max(0);
            self.delays.record(micros as f64 / 1e6, &[]);
        }
    }
}
