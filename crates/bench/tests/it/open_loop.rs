//! The load of *latency*.

use std::time::Duration;

use parlance_bench::load::open_loop::Recorder;
use parlance_bench::load::pacer::message;
use parlance_bench::usage::Window;
use serde_json::Value;
use tokio::time::Instant;

fn recorder(begin: Instant) -> Recorder {
    let mut window = Window::after(Duration::ZERO, Duration::from_secs(60));
    window.from -= Duration::from_secs(10);
    Recorder::new(begin, window)
}

#[tokio::test]
async fn latency_counts_from_when_a_message_was_due() {
    let recorder = recorder(Instant::now() - Duration::from_secs(5));
    let event = r#"{"type":"message","message":{"id":1,"content":"2000000000 ",
                    "created_at":"2020-01-01T00:00:00.000001Z"}}"#;
    recorder.record(event).unwrap();
    let tally = recorder.tally();
    let millis = tally.end_to_end.percentiles().unwrap().p50;
    assert!((3_000.0..4_000.0).contains(&millis), "{millis}");
    assert!(tally.from_commit.percentiles().unwrap().p50 > 100_000.0);
    assert_eq!(tally.deliveries, 1);
}

#[tokio::test]
async fn an_event_other_than_a_message_is_an_error() {
    let event = r#"{"type":"unsubscribed","room_id":1,"reason":"removed"}"#;
    assert!(recorder(Instant::now()).record(event).is_err());
}

#[test]
fn a_message_contains_its_due_time_in_128_bytes() {
    let frame: Value = serde_json::from_str(&message(5, Duration::from_micros(1_500))).unwrap();
    let content = frame["content"].as_str().unwrap();
    assert_eq!((content.len(), content.trim_end()), (128, "1500000"));
}
