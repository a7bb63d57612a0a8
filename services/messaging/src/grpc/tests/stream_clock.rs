use super::*;

const SECOND: u64 = 1_000_000;

/// Notes a request that was sent and arrived this many seconds after `start`. Returns how long
/// after its arrival a message is late that had a second left when it was sent.
fn time_left(clock: &mut StreamClock, start: Instant, sent_at: f64, received_at: f64) -> f64 {
    let received_at = start + Duration::from_secs_f64(received_at);
    let sent_at_us = (sent_at * SECOND as f64) as u64;
    clock.note(sent_at_us, received_at);
    let deadline = clock.deadline(sent_at_us + SECOND);
    let left = deadline.saturating_duration_since(received_at).as_secs_f64();
    (left * 1_000.0).round() / 1_000.0
}

#[test]
fn a_request_that_was_held_up_has_less_time_left() {
    let (mut clock, start) = (StreamClock::default(), Instant::now() + WINDOW);
    assert_eq!(time_left(&mut clock, start, 1.0, 1.0), 1.0);
    assert_eq!(time_left(&mut clock, start, 2.0, 2.0), 1.0);
    assert_eq!(time_left(&mut clock, start, 3.0, 3.4), 0.6);
    assert_eq!(time_left(&mut clock, start, 4.0, 9.0), 0.0);
}

#[test]
fn a_clock_that_differs_costs_no_time() {
    let (mut clock, start) = (StreamClock::default(), Instant::now() + WINDOW);
    assert_eq!(time_left(&mut clock, start, 1.0, 5.0), 1.0);
    assert_eq!(time_left(&mut clock, start, 2.0, 6.1), 0.9);
    assert_eq!(time_left(&mut clock, start, 3.0, 6.5), 1.0);
}

#[test]
fn a_gateway_whose_clock_runs_slowly_keeps_its_time() {
    let (mut clock, start) = (StreamClock::default(), Instant::now() + WINDOW);
    for step in 0..1_000 {
        let received_at = f64::from(step) * 20.0;
        // It loses a second in half an hour.
        let left = time_left(&mut clock, start, received_at - f64::from(step) / 100.0, received_at);
        assert!(left > 0.95, "{left} in step {step}");
    }
}

#[test]
fn a_message_without_a_deadline_has_two_seconds_from_its_arrival() {
    let (mut clock, now) = (StreamClock::default(), Instant::now());
    clock.note(0, now);
    assert_eq!(clock.deadline(0), now + SEND_TIMEOUT);
    assert_eq!(clock.deadline(u64::MAX), now + SEND_TIMEOUT);
}
