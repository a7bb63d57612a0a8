//! Reads and writes a span context in the headers of a request, and in the `traceparent` field of a
//! message.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";

/// Returns the span context that the headers name, if they name a valid one.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<SpanContext> {
    headers.contains_key(TRACEPARENT).then(|| extract(&Headers(headers)))?
}

/// Returns the span context that a `traceparent` names, if it is valid.
pub(super) fn from_traceparent(traceparent: &str) -> Option<SpanContext> {
    extract(&HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]))
}

pub(super) fn write_headers(span_context: &SpanContext, headers: &mut HeaderMap) {
    inject(span_context, &mut HeadersMut(headers));
}

pub(super) fn to_traceparent(span_context: &SpanContext) -> String {
    let mut fields = HashMap::new();
    inject(span_context, &mut fields);
    fields.remove(TRACEPARENT).unwrap_or_default()
}

fn extract(carrier: &dyn Extractor) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    context.has_active_span().then(|| context.span().span_context().clone())
}

fn inject(span_context: &SpanContext, carrier: &mut dyn Injector) {
    let context = Context::new().with_remote_span_context(span_context.clone());
    TraceContextPropagator::new().inject_context(&context, carrier);
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    /// An empty `tracestate` is left out.
    fn set(&mut self, key: &str, value: String) {
        let (name, value) = (HeaderName::try_from(key), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = (name, value)
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}
