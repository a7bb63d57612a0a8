//! The gauges of the access state.

use std::sync::Arc;

use crate::auth::verifier::TokenVerifier;
use crate::metrics::METER;

/// Shows the age and the size of the access state for as long as the verifier lives.
pub(super) fn register_gauges(verifier: &TokenVerifier) {
    let meter = opentelemetry::global::meter(METER);
    let shared = Arc::downgrade(&verifier.0);
    let verifier = move || shared.upgrade().map(TokenVerifier);
    let aged = verifier.clone();
    meter
        .f64_observable_gauge("parlance.gateway.access_state.age")
        .with_unit("s")
        .with_description("Time since auth last confirmed the access state.")
        .with_callback(move |gauge| {
            if let Some(age) = aged().and_then(|verifier| verifier.age()) {
                gauge.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("parlance.gateway.access_state.ended")
        .with_description("Sessions and tokens that have ended and not expired.")
        .with_callback(move |gauge| {
            if let Some(verifier) = verifier() {
                gauge.observe(verifier.ended() as u64, &[]);
            }
        })
        .build();
}
