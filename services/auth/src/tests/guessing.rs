use super::*;

fn failures(count: i32, age_s: u64) -> Failures {
    let last_failed_at = Timestamp::from_micros(0);
    Failures { count, last_failed_at, age: Duration::from_secs(age_s) }
}

#[test]
fn waits_begin_after_the_fifth_failure_and_double_up_to_a_minute() {
    let waits: Vec<u64> = (1..=14)
        .map(|count| failures(count, 0).remaining_wait().map_or(0, |wait| wait.as_secs()))
        .collect();
    assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    assert_eq!(failures(i32::MAX, 0).wait(), Duration::from_secs(60));
}

#[test]
fn a_wait_runs_from_the_last_failure() {
    assert_eq!(failures(8, 5).remaining_wait(), Some(Duration::from_secs(3)));
    assert_eq!(failures(8, 8).remaining_wait(), None);
}

#[test]
fn an_hour_without_a_failure_forgets_those_before() {
    assert!(failures(9, 3599).is_limiting());
    assert!(!failures(9, 3600).is_limiting());
}
