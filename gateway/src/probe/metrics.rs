//! The metrics of the synthetic probe.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::ErrorCode;
use tokio::time::Instant;

pub(super) struct Metrics {
    duration: Histogram<f64>,
    failures: Counter<u64>,
    /// When a probe last succeeded or, before that, when the process started.
    last_success: Arc<Mutex<Instant>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = global::meter("parlance");
        let last_success = Arc::new(Mutex::new(Instant::now()));
        let observed = last_success.clone();
        meter
            .f64_observable_gauge("parlance.gateway.probe.age")
            .with_description("Time since a probe succeeded, or since the first one was sent.")
            .with_unit("s")
            .with_callback(move |gauge| {
                gauge.observe(lock(&observed).elapsed().as_secs_f64(), &[]);
            })
            .build();
        let failures = meter
            .u64_counter("parlance.gateway.probe.failures")
            .with_description("Probes whose event did not arrive in time.")
            .build();
        failures.add(0, &[]);
        let duration = meter
            .f64_histogram("parlance.gateway.probe.duration")
            .with_description("Time from sending a probe to its event.")
            .with_unit("s")
            .with_boundaries(vec![0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
            .build();
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

fn lock(last_success: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    last_success.lock().unwrap_or_else(PoisonError::into_inner)
}
