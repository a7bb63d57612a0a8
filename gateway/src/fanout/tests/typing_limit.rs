use super::*;

/// Counts the events that are passed on while so many users type every two seconds.
fn shown(limit: &mut TypingLimit, users: i64, subscribers: usize, seconds: u64) -> usize {
    let start = Instant::now();
    let mut shown = 0;
    for tenth in 0..seconds * 10 {
        let now = start + Duration::from_millis(tenth * 100);
        let typing = (0..users).filter(|user| user % 20 == (tenth % 20) as i64);
        shown += typing.filter(|&user| limit.allow(UserId::new(user), subscribers, now)).count();
    }
    shown
}

#[test]
fn the_typing_events_of_a_room_are_limited() {
    assert_eq!(shown(&mut TypingLimit::new(), 10, 10, 20), 100, "few people are always shown");
    let many = shown(&mut TypingLimit::new(), 500, 500, 20);
    assert!((195..=215).contains(&many), "{many}: ten a second, and the first ten at once");
}

#[test]
fn fewer_typing_events_are_passed_on_in_larger_rooms() {
    for (subscribers, per_second) in [(2_000, 10), (4_000, 5), (20_000, 1), (50_000, 1)] {
        let shown = shown(&mut TypingLimit::new(), 500, subscribers, 20);
        let expected = 20 * per_second..=21 * per_second + 1;
        assert!(expected.contains(&shown), "{shown} for {subscribers}");
    }
}

#[test]
fn a_user_is_shown_once_in_two_seconds_on_however_many_connections() {
    let (mut limit, start) = (TypingLimit::new(), Instant::now());
    let mut types = |user, after_ms| {
        limit.allow(UserId::new(user), 10, start + Duration::from_millis(after_ms))
    };
    assert!(types(1, 0));
    assert!(!types(1, 0) && !types(1, 1_400));
    assert!(types(2, 1_400), "others are shown");
    assert!(types(1, 1_990), "the next event of the same connection came a little early");
}
