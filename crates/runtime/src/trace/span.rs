//! The trace that a request belongs to, and the spans within it.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use opentelemetry::trace::{
    self as otel, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace as sdk;

use super::{export, propagation};

/// The attribute that classifies a failure.
const ERROR_TYPE: &str = "error.type";

/// The trace of a request, and the span in it that is the parent of the next one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    parent: SpanContext,
    /// True if no span of the trace exists yet. Its parent id then names no span.
    is_new: bool,
}

impl Trace {
    /// A new trace that is not recorded.
    pub fn new() -> Self {
        // Zero is not a valid id.
        let trace_id = TraceId::from(rand::random::<u128>().max(1));
        let span_id = SpanId::from(rand::random::<u64>().max(1));
        let flags = TraceFlags::NOT_SAMPLED;
        let parent = SpanContext::new(trace_id, span_id, flags, false, TraceState::NONE);
        Self { parent, is_new: true }
    }

    /// The trace that the headers name, or a new one.
    pub fn continued(headers: &HeaderMap) -> Self {
        propagation::from_headers(headers)
            .map_or_else(Self::new, |parent| Self { parent, is_new: false })
    }

    /// The same trace, to be recorded or not in every process that it reaches from here.
    pub fn with_sampled(self, is_sampled: bool) -> Self {
        let parent = SpanContext::new(
            self.parent.trace_id(),
            self.parent.span_id(),
            self.parent.trace_flags().with_sampled(is_sampled),
            self.parent.is_remote(),
            self.parent.trace_state().clone(),
        );
        Self { parent, ..self }
    }

    /// True if the caller wants the trace recorded.
    pub fn is_sampled(&self) -> bool {
        self.parent.is_sampled()
    }

    /// True if this process records the spans of the trace.
    pub fn is_recorded(&self) -> bool {
        self.is_sampled() && export::is_recording()
    }

    /// Begins a span and makes it the parent of the spans that follow. Does nothing, and does not
    /// call `describe`, unless the trace is recorded.
    pub fn enter(&mut self, describe: impl FnOnce() -> SpanBuilder) -> Span {
        let span = self.start_span(describe);
        if let Some(within) = span.trace() {
            *self = within;
        }
        span
    }

    /// Begins a span. Does nothing, and does not call `describe`, unless the trace is recorded.
    pub fn start_span(&self, describe: impl FnOnce() -> SpanBuilder) -> Span {
        match export::tracer() {
            Some(tracer) if self.is_sampled() => describe().start(tracer, self),
            _ => Span::default(),
        }
    }

    /// Begins a span of the trace that a message carries, as [`Span::traceparent`] wrote it. Does
    /// nothing if the message carries none.
    pub fn follow(traceparent: &str, describe: impl FnOnce() -> SpanBuilder) -> Span {
        if traceparent.is_empty() || !export::is_recording() {
            return Span::default();
        }
        propagation::from_traceparent(traceparent).map_or_else(Span::default, |parent| {
            Self { parent, is_new: false }.start_span(describe)
        })
    }

    /// Writes the trace into the headers of a request to another process.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        propagation::write_headers(&self.parent, headers);
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

/// The id of the trace, as it stands in headers and on log lines.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parent.trace_id().fmt(f)
    }
}

/// The description of a span. The name is one of few. What is special about the span is in its
/// attributes, which have the names of OpenTelemetry's semantic conventions where these define one.
#[derive(Clone, Debug)]
pub struct SpanBuilder(otel::SpanBuilder);

impl SpanBuilder {
    /// The handling of a request from a client or another process that waits for the response.
    pub fn server(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpanKind::Server, name)
    }

    /// A request to another process, until the response.
    pub fn client(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpanKind::Client, name)
    }

    /// The publishing of a message without a response.
    pub fn producer(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpanKind::Producer, name)
    }

    /// The handling of a published message.
    pub fn consumer(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpanKind::Consumer, name)
    }

    /// Work within a process.
    pub fn internal(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SpanKind::Internal, name)
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.get_or_insert_default().push(KeyValue::new(name, value));
        self
    }

    fn new(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        Self(otel::SpanBuilder::from_name(name).with_kind(kind))
    }

    fn start(self, tracer: &sdk::SdkTracer, trace: &Trace) -> Span {
        let context = match trace.is_new {
            true => Context::new(),
            false => Context::new().with_remote_span_context(trace.parent.clone()),
        };
        Span(Some(Box::new(tracer.build_with_context(self.0, &context))))
    }
}

/// A span of a recorded trace, which ends when it is dropped. For every other trace it is empty and
/// costs nothing.
#[derive(Debug, Default)]
pub struct Span(Option<Box<sdk::Span>>);

impl Span {
    /// True if the span is recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The trace with this span as the parent, if the span is recorded.
    pub fn trace(&self) -> Option<Trace> {
        let span = self.0.as_ref()?;
        Some(Trace { parent: span.span_context().clone(), is_new: false })
    }

    /// The span as a `traceparent` for a message. Empty if it is not recorded.
    pub fn traceparent(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |span| propagation::to_traceparent(span.span_context()))
    }

    /// Begins a span within this one.
    pub fn start_span(&self, describe: impl FnOnce() -> SpanBuilder) -> Self {
        self.trace().map_or_else(Self::default, |trace| trace.start_span(describe))
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Adds an event that has happened now.
    pub fn note(&mut self, event: &'static str) {
        if let Some(span) = &mut self.0 {
            span.add_event(event, Vec::new());
        }
    }

    /// Adds a link to another span.
    pub fn link(&mut self, other: &Self) {
        if let (Some(span), Some(other)) = (&mut self.0, &other.0) {
            span.add_link(other.span_context().clone(), Vec::new());
        }
    }

    /// Marks the span as failed, with an error code.
    pub fn fail(&mut self, code: impl Into<StringValue>) {
        if let Some(span) = &mut self.0 {
            let code = code.into();
            span.set_status(Status::error(code.as_str().to_owned()));
            span.set_attribute(KeyValue::new(ERROR_TYPE, code));
        }
    }
}
