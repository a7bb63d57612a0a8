//! The age of the access state.

use super::*;

#[test]
fn the_age_counts_from_the_last_message() {
    let begin = Instant::now();
    let after = |seconds| begin + Duration::from_secs(seconds);
    let freshness = Freshness::new(begin);
    assert_eq!(freshness.age(after(1)), None);
    freshness.note_message(after(2));
    assert_eq!(freshness.age(after(2)), Some(Duration::ZERO));
    assert_eq!(freshness.age(after(7)), Some(Duration::from_secs(5)));
    freshness.note_message(after(8));
    assert_eq!(freshness.age(after(9)), Some(Duration::from_secs(1)));
}

#[test]
fn a_message_in_the_first_millisecond_counts() {
    let begin = Instant::now();
    let freshness = Freshness::new(begin);
    freshness.note_message(begin);
    assert!(freshness.age(begin).is_some());
}
