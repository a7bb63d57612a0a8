//! The metrics of identities that the host product brings.

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// The counters of exchanges and of the fetches of issuers' keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ExchangeMetrics {
    exchanges: Counter<u64>,
    fetches: Counter<u64>,
}

impl ExchangeMetrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("parlance");
        let exchanges = meter
            .u64_counter("parlance.auth.exchanges")
            .with_description("Tokens of issuers that clients presented, by outcome.")
            .build();
        let fetches = meter
            .u64_counter("parlance.auth.key_fetches")
            .with_description("Fetches of the keys of issuers, by issuer and outcome.")
            .build();
        for outcome in ["exchanged", "refused"] {
            exchanges.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        Self { exchanges, fetches }
    }

    /// Counts a token that a client presented.
    pub(crate) fn count_exchange(&self, outcome: &'static str) {
        self.exchanges.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Counts a fetch of the keys of an issuer.
    pub(crate) fn count_fetch(&self, issuer: &str, outcome: &'static str) {
        let issuer = KeyValue::new("issuer", issuer.to_owned());
        self.fetches.add(1, &[issuer, KeyValue::new("outcome", outcome)]);
    }
}
