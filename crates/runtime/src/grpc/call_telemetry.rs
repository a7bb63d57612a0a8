//! The metrics and spans of calls, the same for clients and servers.

use std::time::Duration;

use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};
use tonic::Code;

use crate::trace::{Span, SpanBuilder};

/// A histogram of call durations. The names follow OpenTelemetry's semantic conventions for RPC.
#[derive(Clone, Debug)]
pub(super) struct CallDurations {
    histogram: Histogram<f64>,
}

impl CallDurations {
    pub(super) fn for_server() -> Self {
        Self::new("rpc.server.call.duration")
    }

    pub(super) fn for_client() -> Self {
        Self::new("rpc.client.call.duration")
    }

    fn new(name: &'static str) -> Self {
        let histogram = global::meter("parlance")
            .f64_histogram(name)
            .with_unit("s")
            .with_boundaries(vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ])
            .build();
        Self { histogram }
    }

    /// Records one call, by the path of its method and by its gRPC code.
    pub(super) fn record(&self, method: &str, status: i32, duration: Duration) {
        let attributes = [
            KeyValue::new("rpc.method", method.trim_start_matches('/').to_owned()),
            KeyValue::new("rpc.response.status_code", i64::from(status)),
        ];
        self.histogram.record(duration.as_secs_f64(), &attributes);
    }
}

/// Describes the call of a method, given as the path of the call.
pub(super) fn describe(kind: fn(String) -> SpanBuilder, path: &str) -> SpanBuilder {
    let method = path.trim_start_matches('/').to_owned();
    kind(method.clone()).with("rpc.system.name", "grpc").with("rpc.method", method)
}

/// Adds the gRPC code of the call and ends its span.
pub(super) fn finish(mut span: Span, code: i32) {
    span.set("rpc.response.status_code", i64::from(code));
    if code != 0 && span.is_recorded() {
        span.fail(format!("{:?}", Code::from(code)));
    }
}
