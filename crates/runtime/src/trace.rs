//! The place of a request in a trace that may begin and go on in other programs ([W3C Trace
//! Context](https://www.w3.org/TR/trace-context/)). The trace's id stands on the log lines of the
//! request, and what was received is passed on.
//!
//! Of a trace that is recorded, the steps go to a collector. Few are, and none without a collector;
//! for all others a step costs a look at a flag.

mod export;
mod span;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};

pub(crate) use self::export::flush;
pub use self::export::{is_recording, start};
pub use self::span::{Span, SpanBuilder};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// The trace of a request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    id: u128,
    parent_id: u64,
    parent: Parent,
    flags: u8,
    /// What other programs have to say about the trace.
    state: Option<HeaderValue>,
}

/// Where the step is that the id of the parent names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// There is none: the trace begins with the next step.
    Nowhere,
    InThisProcess,
    Elsewhere,
}

impl Trace {
    /// A trace that begins here, and that nobody asked to record.
    pub fn new() -> Self {
        // Zero means that there is none.
        Self {
            id: rand::random::<u128>().max(1),
            parent_id: rand::random::<u64>().max(1),
            parent: Parent::Nowhere,
            flags: 0,
            state: None,
        }
    }

    /// The trace that the headers name, or a new one.
    pub fn continued(headers: &HeaderMap) -> Self {
        let parent = headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
        match parent {
            Some(trace) => Self { state: headers.get(TRACESTATE).cloned(), ..trace },
            None => Self::new(),
        }
    }

    /// The same trace, to be recorded or not, in every process that it comes to from here.
    pub fn with_sampled(self, is_sampled: bool) -> Self {
        Self {
            flags: if is_sampled { self.flags | SAMPLED } else { self.flags & !SAMPLED },
            ..self
        }
    }

    /// Whether whom it comes from wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether its steps are recorded in this process.
    pub fn is_recorded(&self) -> bool {
        self.is_sampled() && is_recording()
    }

    /// Begins a step and moves to the place within it. Unless the trace is recorded nothing
    /// happens, and the step is not described.
    pub fn enter(&mut self, step: impl FnOnce() -> SpanBuilder) -> Span {
        let span = self.start_span(step);
        if let Some(within) = span.trace() {
            *self = within;
        }
        span
    }

    /// Begins a step beside which others may begin here. Unless the trace is recorded nothing
    /// happens, and the step is not described.
    pub fn start_span(&self, step: impl FnOnce() -> SpanBuilder) -> Span {
        match export::tracer() {
            Some(tracer) if self.is_sampled() => step().begin(tracer, self.context()),
            _ => Span::default(),
        }
    }

    /// Begins a step of the recorded trace that a message carries, if it carries one, as
    /// [`Span::traceparent`] wrote it.
    pub fn follow(traceparent: &str, step: impl FnOnce() -> SpanBuilder) -> Span {
        if traceparent.is_empty() {
            return Span::default();
        }
        parse(traceparent).map_or_else(Span::default, |trace| trace.start_span(step))
    }

    /// Writes it into the headers of a request to another process.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.traceparent()) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.id, self.parent_id, self.flags)
    }

    /// The place within a step.
    fn within(context: &SpanContext) -> Self {
        let state = context.trace_state().header();
        Self {
            id: u128::from_be_bytes(context.trace_id().to_bytes()),
            parent_id: u64::from_be_bytes(context.span_id().to_bytes()),
            parent: Parent::InThisProcess,
            flags: SAMPLED,
            state: HeaderValue::try_from(state).ok().filter(|state| !state.is_empty()),
        }
    }

    /// What the next step stands in; nothing when the trace begins with it.
    fn context(&self) -> Option<SpanContext> {
        let state = self.state.as_ref().and_then(|state| state.to_str().ok()?.parse().ok());
        let is_remote = match self.parent {
            Parent::Nowhere => return None,
            Parent::InThisProcess => false,
            Parent::Elsewhere => true,
        };
        let (id, parent_id) = (TraceId::from(self.id), SpanId::from(self.parent_id));
        Some(SpanContext::new(
            id,
            parent_id,
            TraceFlags::SAMPLED,
            is_remote,
            state.unwrap_or_default(),
        ))
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
        write!(f, "{:032x}", self.id)
    }
}

/// Later versions may add something behind what version 0 has.
fn parse(text: &str) -> Option<Trace> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let (version, known) = known.split_once('-')?;
    let (id, known) = known.split_once('-')?;
    let (parent_id, flags) = known.split_once('-')?;
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_well_formed =
        is_hex(version, 2) && is_hex(id, 32) && is_hex(parent_id, 16) && is_hex(flags, 2);
    let is_known_version = if version == "00" {
        rest.is_empty()
    } else {
        version != "ff" && (rest.is_empty() || rest.starts_with('-'))
    };
    if !is_well_formed || !is_known_version {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|&id| id != 0)?;
    let parent_id = u64::from_str_radix(parent_id, 16).ok().filter(|&id| id != 0)?;
    // Of the flags, only those that version 0 knows are passed on.
    let flags = u8::from_str_radix(flags, 16).ok()? & SAMPLED;
    Some(Trace { id, parent_id, parent: Parent::Elsewhere, flags, state: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(parent: &str) -> String {
        let received =
            HeaderMap::from_iter([(TRACEPARENT, HeaderValue::try_from(parent).unwrap())]);
        let mut sent = HeaderMap::new();
        Trace::continued(&received).propagate(&mut sent);
        sent[TRACEPARENT].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_trace_goes_on_with_its_state() {
        let mut received = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(PARENT))]);
        received.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        let trace = Trace::continued(&received);
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let mut sent = HeaderMap::new();
        trace.propagate(&mut sent);
        assert_eq!(sent, received);
    }

    #[test]
    fn a_later_version_is_understood_as_far_as_it_is_known() {
        let later = PARENT.replacen("00-", "cc-", 1) + "-what-will-be";
        assert_eq!(passed_on(&later), PARENT);
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one_that_is_one() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let without_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        for bad in [
            "",
            "x",
            &PARENT[1..],
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            zeros,
            without_parent,
        ] {
            let sent = passed_on(bad);
            assert_ne!(sent[3..35], PARENT[3..35], "{bad}");
            assert_eq!(passed_on(&sent), sent);
        }
        assert_ne!(passed_on(&format!("{PARENT}-more")), PARENT);
    }

    #[test]
    fn without_a_collector_no_step_is_even_described() {
        let describe = || -> SpanBuilder { unreachable!("a step is described") };
        let mut trace = parse(PARENT).unwrap();
        assert!(trace.is_sampled() && !trace.is_recorded());
        for span in
            [trace.start_span(describe), trace.enter(describe), Trace::follow(PARENT, describe)]
        {
            assert!(!span.is_recorded());
            assert_eq!(
                (span.traceparent(), span.start_span(describe).is_recorded()),
                (String::new(), false)
            );
        }
        assert_eq!(trace.traceparent(), PARENT, "it is passed on as it is");
    }

    #[test]
    fn whether_a_trace_is_recorded_is_passed_on() {
        let unsampled = PARENT.replacen("-01", "-00", 1);
        assert_eq!(parse(PARENT).unwrap().with_sampled(false).traceparent(), unsampled);
        assert_eq!(parse(&unsampled).unwrap().with_sampled(true).traceparent(), PARENT);
    }
}
