//! A step of a trace, from its description to its end.

use std::borrow::Cow;

use opentelemetry::trace::{
    self as otel, Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace as sdk;

use super::Trace;

/// What a step is, as it is shown. Its name is one of few; what makes it special is in its
/// attributes, named by OpenTelemetry's semantic conventions where these have a name.
#[derive(Clone, Debug)]
pub struct SpanBuilder(otel::SpanBuilder);

impl SpanBuilder {
    /// Handling what another process, or a client, asks for and waits for.
    pub fn server(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Server, name)
    }

    /// Asking another process and waiting for the answer.
    pub fn client(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Client, name)
    }

    /// Telling others something that nobody waits for.
    pub fn producer(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Producer, name)
    }

    /// Handling what others have told.
    pub fn consumer(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Consumer, name)
    }

    /// Something in between that takes time.
    pub fn internal(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Internal, name)
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.get_or_insert_default().push(KeyValue::new(name, value));
        self
    }

    pub(super) fn begin(self, tracer: &sdk::SdkTracer, parent: Option<SpanContext>) -> Span {
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        Span(Some(Box::new(tracer.build_with_context(self.0, &context))))
    }

    fn of_kind(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        Self(otel::SpanBuilder::from_name(name).with_kind(kind))
    }
}

/// A step of a recorded trace, for as long as it lasts: it ends when it is dropped. Nothing, at no
/// cost, for all other traces.
#[derive(Debug, Default)]
pub struct Span(Option<Box<sdk::Span>>);

impl Span {
    /// Whether there is anything to record.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The place within it, if it is recorded.
    pub fn trace(&self) -> Option<Trace> {
        self.0.as_ref().map(|span| Trace::within(span.span_context()))
    }

    /// The place within it, for a message that carries it; empty when it is not recorded.
    pub fn traceparent(&self) -> String {
        self.trace().map(|trace| trace.traceparent()).unwrap_or_default()
    }

    /// Begins a step within this one.
    pub fn start_span(&self, step: impl FnOnce() -> SpanBuilder) -> Self {
        self.trace().map_or_else(Self::default, |trace| trace.start_span(step))
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Notes what has happened by now.
    pub fn note(&mut self, event: &'static str) {
        if let Some(span) = &mut self.0 {
            span.add_event(event, Vec::new());
        }
    }

    /// Notes another step that this one has to do with.
    pub fn link(&mut self, other: &Self) {
        if let (Some(span), Some(other)) = (&mut self.0, &other.0) {
            span.add_link(other.span_context().clone(), Vec::new());
        }
    }

    /// Notes that it has failed, and why: a code, one of few.
    pub fn fail(&mut self, code: impl Into<StringValue>) {
        if let Some(span) = &mut self.0 {
            let code = code.into();
            span.set_status(Status::error(code.as_str().to_owned()));
            span.set_attribute(KeyValue::new(ERROR_TYPE, code));
        }
    }
}

/// The attribute of what has failed.
const ERROR_TYPE: &str = "error.type";
