//! What readers of changed profiles are told.

use super::*;

fn changes(numbers: std::ops::RangeInclusive<i64>) -> Vec<(i64, UserId)> {
    numbers.map(|number| (number, UserId::new(number * 10))).collect()
}

fn ids(numbers: std::ops::RangeInclusive<i64>) -> Option<Vec<UserId>> {
    Some(numbers.map(|number| UserId::new(number * 10)).collect())
}

#[test]
fn a_reader_is_told_what_changed_after_what_it_knows() {
    let log = ProfileChanges::since(3).with(changes(4..=5), 5).with(changes(6..=6), 6);
    assert_eq!(log.last_number(), 6);
    assert_eq!(log.after(3), ids(4..=6));
    assert_eq!(log.after(5), ids(6..=6));
    assert_eq!(log.after(6), Some(Vec::new()));
}

#[test]
fn a_reader_from_before_the_log_is_told_to_forget_all() {
    assert_eq!(ProfileChanges::since(3).after(2), None);
    let log = ProfileChanges::since(0).with(changes(1..=1_000), 1_000);
    assert_eq!(log.after(0), ids(1..=1_000), "as many as are remembered");
    let log = log.with(changes(1_001..=1_001), 1_001);
    assert_eq!(log.after(0), None);
    assert_eq!(log.after(1), ids(2..=1_001));
}

#[test]
fn more_changes_at_once_than_are_remembered_make_every_reader_forget_all() {
    let log = ProfileChanges::since(0).with(changes(1..=2), 2);
    // The last one committed after the revision was read. It comes with the next read.
    let log = log.with(changes(3..=1_003), 1_500);
    assert_eq!(log.last_number(), 1_500);
    assert_eq!((log.after(2), log.after(1_499)), (None, None));
    assert_eq!(log.after(1_500), Some(Vec::new()));
    assert_eq!(log.with(changes(1_501..=1_501), 1_501).after(1_500), ids(1_501..=1_501));
}

#[test]
fn a_revision_that_a_failover_has_set_back_changes_nothing() {
    let log = ProfileChanges::since(0).with(changes(1..=5), 5).with(Vec::new(), 3);
    assert_eq!((log.last_number(), log.after(5)), (5, Some(Vec::new())));
    let raised = log.with(changes(1_000_004..=1_000_004), 1_000_004);
    assert_eq!(raised.after(5), ids(1_000_004..=1_000_004));
}
