//! Distributed tracing: [W3C Trace Context](https://www.w3.org/TR/trace-context/) between the
//! programs, OpenTelemetry spans to a collector.
//!
//! The trace id stands on the log lines of a request. Few traces are recorded, and none without a
//! collector. For all others a span costs one look at a flag.

mod export;
mod propagation;
mod span;

pub(crate) use self::export::shut_down;
pub use self::export::{is_recording, start};
pub use self::span::{Span, SpanBuilder, Trace};
