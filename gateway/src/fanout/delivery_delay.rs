//! How long messages take from the commit to the queues of the sockets.

use opentelemetry::global;
use opentelemetry::metrics::Histogram;
use parlance_core::{Clock, Timestamp};

/// Records delays. The time of creation is that of Postgres, so clocks that differ show in it.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryDelay {
    clock: Clock,
    delays: Histogram<f64>,
}

impl DeliveryDelay {
    pub(crate) fn new(clock: Clock) -> Self {
        let delays = global::meter("parlance")
            .f64_histogram("parlance.gateway.delivery.delay")
            .with_description(
                "Time from a message's creation in the store to the queues of its subscribers here.",
            )
            .with_unit("s")
            .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0])
            .build();
        Self { clock, delays }
    }

    /// Notes messages that are passed on now.
    pub(crate) fn record(&self, created: Vec<Timestamp>) {
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
