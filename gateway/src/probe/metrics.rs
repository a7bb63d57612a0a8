//! The metrics of the synthetic probe.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::ErrorCode;
use tokio::time::Instant;

use crate::lock::lock;
use crate::metrics::{self, METER};

pub(super) struct Metrics {
    duration: Histogram<f64>,
    failures: Counter<u64>,
    /// When a probe last succeeded or, before that, when the process started.
    last_success: Arc<Mutex<Instant>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let last_success = Arc::new(Mutex::new(Instant::now()));
        let observed = last_success.clone();
        global::meter(METER)
            .f64_observable_gauge("parlance.gateway.probe.age")
            .with_description("Time since a probe succeeded, or since the first one was sent.")
            .with_unit("s")
            .with_callback(move |gauge| gauge.observe(lock(&observed).elapsed().as_secs_f64(), &[]))
            .build();
        let failures = metrics::counter(
            "parlance.gateway.probe.failures",
            "Probes whose event did not arrive in time.",
        );
        failures.add(0, &[]);
        let duration = metrics::seconds(
            "parlance.gateway.probe.duration",
            "Time from sending a probe to its event.",
            &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
        );
        Self { duration, failures, last_success }
    }

    pub(super) fn record(&self, result: Result<Duration, ErrorCode>) {
        match result {
            Ok(duration) => {
                self.duration.record(duration.as_secs_f64(), &[]);
                *lock(&self.last_success) = Instant::now();
            }
            Err(_) => self.failures.add(1, &[]),
        }
    }
}
