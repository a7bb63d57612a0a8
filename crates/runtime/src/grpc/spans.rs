//! Calls as steps of a trace, described alike on both sides.

use tonic::Code;

use crate::trace::{Span, SpanBuilder};

/// What is said of the call of a method, given as the path of the call.
pub(super) fn describe(kind: fn(String) -> SpanBuilder, path: &str) -> SpanBuilder {
    let method = path.trim_start_matches('/').to_owned();
    kind(method.clone()).with("rpc.system.name", "grpc").with("rpc.method", method)
}

/// Notes what has come of the call, as its gRPC code.
pub(super) fn finish(mut span: Span, code: i32) {
    span.set("rpc.response.status_code", i64::from(code));
    if code != 0 && span.is_recorded() {
        span.fail(format!("{:?}", Code::from(code)));
    }
}
