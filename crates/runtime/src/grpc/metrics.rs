//! How long calls take, by method and outcome, on both sides.

use std::time::Duration;

use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};

/// A histogram of call durations, named by OpenTelemetry's semantic conventions for RPC.
#[derive(Clone, Debug)]
pub(super) struct CallDurations {
    histogram: Histogram<f64>,
}

impl CallDurations {
    pub(super) fn of_server() -> Self {
        Self::named("rpc.server.call.duration")
    }

    pub(super) fn of_client() -> Self {
        Self::named("rpc.client.call.duration")
    }

    fn named(name: &'static str) -> Self {
        let histogram = global::meter("parlance")
            .f64_histogram(name)
            .with_unit("s")
            .with_boundaries(vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ])
            .build();
        Self { histogram }
    }

    /// Records one call. The method is the path of the call, the status its gRPC code as a number.
    pub(super) fn record(&self, method: &str, status: i32, duration: Duration) {
        let attributes = [
            KeyValue::new("rpc.method", method.trim_start_matches('/').to_owned()),
            KeyValue::new("rpc.response.status_code", i64::from(status)),
        ];
        self.histogram.record(duration.as_secs_f64(), &attributes);
    }
}
