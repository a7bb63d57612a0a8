//! The metrics of sessions.

use std::sync::Arc;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

use crate::ended_log::EndedLog;

/// The counters of sessions.
pub(crate) struct SessionMetrics {
    refreshes: Counter<u64>,
    ended: Counter<u64>,
}

impl SessionMetrics {
    /// Makes the counters, and exports the size of the log.
    pub(crate) fn new(log: Arc<EndedLog>) -> Self {
        let meter = global::meter("parlance");
        meter
            .u64_observable_gauge("parlance.auth.ended_access")
            .with_description("Sessions and tokens that ended and whose tokens have not expired.")
            .with_callback(move |gauge| gauge.observe(log.len() as u64, &[]))
            .build();
        let refreshes = meter
            .u64_counter("parlance.auth.refreshes")
            .with_description("Refresh tokens that clients presented, by outcome.")
            .build();
        let ended = meter
            .u64_counter("parlance.auth.sessions.ended")
            .with_description("Sessions that this replica ended, by reason.")
            .build();
        let metrics = Self { refreshes, ended };
        // An alert sees only the growth of what exists.
        for outcome in ["first_use", "stolen", "refused"] {
            metrics.refreshes.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        metrics
    }

    /// Counts a refresh token that a client presented.
    pub(crate) fn count_refresh(&self, outcome: &'static str) {
        self.refreshes.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Counts sessions that have ended.
    pub(crate) fn count_ended(&self, reason: &'static str, sessions: usize) {
        self.ended.add(sessions as u64, &[KeyValue::new("reason", reason)]);
    }
}
