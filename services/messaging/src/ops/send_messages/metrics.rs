//! The metrics of sending.

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use parlance_core::ErrorCode;

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    messages: Counter<u64>,
    pub(super) batch_size: Histogram<u64>,
    pub(super) commit_duration: Histogram<f64>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = global::meter("parlance");
        let metrics = Self {
            messages: meter
                .u64_counter("parlance.messaging.messages")
                .with_description("Sends by outcome: stored, duplicate, refused or failed.")
                .build(),
            batch_size: meter
                .u64_histogram("parlance.messaging.batch.size")
                .with_description("Messages in one call of write_batch.")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0])
                .build(),
            commit_duration: meter
                .f64_histogram("parlance.messaging.commit.duration")
                .with_description("Time to write a batch and flush it to disk.")
                .with_unit("s")
                .with_boundaries(vec![
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
                ])
                .build(),
        };
        // An alert on failures needs the series before the first failure.
        metrics.count_refused(ErrorCode::Unavailable, 0);
        metrics
    }

    /// Counts messages that are stored: new ones (`stored`) or earlier ones (`duplicate`).
    pub(super) fn count(&self, messages: usize, outcome: &'static str) {
        if messages > 0 {
            self.messages.add(messages as u64, &[KeyValue::new("outcome", outcome)]);
        }
    }

    /// Counts sends that were not stored: refused by a rule, or failed without a fault of the
    /// sender.
    pub(super) fn count_refused(&self, code: ErrorCode, sends: usize) {
        let outcome = match code {
            ErrorCode::Unavailable | ErrorCode::Internal => "failed",
            _ => "refused",
        };
        let labels = [KeyValue::new("outcome", outcome), KeyValue::new("error.type", code.name())];
        self.messages.add(sends as u64, &labels);
    }
}
