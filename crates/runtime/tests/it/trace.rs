//! The trace of a request on its way from process to process, without a collector.

use http::{HeaderMap, HeaderValue};
use parlance_runtime::trace::{SpanBuilder, Trace};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn received(parent: &str) -> Trace {
    let parent = HeaderValue::try_from(parent).unwrap();
    Trace::continued(&HeaderMap::from_iter([(TRACEPARENT.parse().unwrap(), parent)]))
}

/// The `traceparent` of a request to another process.
fn sent(trace: &Trace) -> String {
    let mut headers = HeaderMap::new();
    trace.propagate(&mut headers);
    headers[TRACEPARENT].to_str().unwrap().to_owned()
}

#[test]
fn a_trace_is_continued_with_its_state() {
    let mut received = HeaderMap::new();
    received.insert(TRACEPARENT, HeaderValue::from_static(PARENT));
    received.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
    let trace = Trace::continued(&received);
    assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
    let mut sent = HeaderMap::new();
    trace.propagate(&mut sent);
    assert_eq!(sent, received);
}

#[test]
fn a_later_version_is_read_as_far_as_version_0_goes() {
    let later = PARENT.replacen("00-", "cc-", 1) + "-more";
    assert_eq!(sent(&received(&later)), PARENT);
}

#[test]
fn an_invalid_traceparent_begins_a_new_valid_trace() {
    let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    let without_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
    let uppercase = PARENT.to_uppercase();
    let forbidden_version = PARENT.replacen("00", "ff", 1);
    for bad in ["", "x", &PARENT[..52], &uppercase, &forbidden_version, zeros, without_parent] {
        let new = sent(&received(bad));
        assert_ne!(new[3..35], PARENT[3..35], "{bad}");
        assert_eq!(sent(&received(&new)), new);
    }
    assert_ne!(sent(&received(&format!("{PARENT}-more"))), PARENT);
}

#[test]
fn without_a_collector_no_span_is_even_described() {
    let describe = || -> SpanBuilder { unreachable!("a span is described") };
    let mut trace = received(PARENT);
    assert!(trace.is_sampled() && !trace.is_recorded());
    let spans =
        [trace.start_span(describe), trace.enter(describe), Trace::follow(PARENT, describe)];
    for span in spans {
        assert!(!span.is_recorded() && !span.start_span(describe).is_recorded());
        assert_eq!(span.traceparent(), "");
    }
    assert_eq!(sent(&trace), PARENT, "the trace is passed on unchanged");
}

#[test]
fn the_sampling_decision_is_passed_on() {
    let unsampled = PARENT.replacen("-01", "-00", 1);
    assert_eq!(sent(&received(PARENT).with_sampled(false)), unsampled);
    assert_eq!(sent(&received(&unsampled).with_sampled(true)), PARENT);
}
