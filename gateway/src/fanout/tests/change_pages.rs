use super::*;
use crate::ws::frames::Frames;
use crate::ws::send_budget::SendBudget;

/// A page that is complete up to 100, with changes of these lengths.
fn page(lengths: &[usize]) -> ChangePage {
    let send_budget = SendBudget::with_limits(1, 1);
    let frame = |length: usize| send_budget.share(Frames { wire: "x".repeat(length).into() });
    let changes = (1..).zip(lengths.iter().map(|&length| frame(length))).collect();
    ChangePage { changes, complete_up_to: 100 }
}

#[test]
fn a_page_with_too_many_bytes_is_complete_up_to_its_last_change() {
    for (lengths, count, complete_up_to) in [
        (vec![], 0, 100),
        (vec![1, 1, 1], 3, 100),
        (vec![MAX_REPLAY_BYTES / 2; 2], 2, 100),
        (vec![MAX_REPLAY_BYTES / 2; 3], 2, 2),
        (vec![2 * MAX_REPLAY_BYTES], 1, 100),
        (vec![2 * MAX_REPLAY_BYTES; 2], 1, 1),
    ] {
        let mut page = page(&lengths);
        page.truncate();
        assert_eq!((page.changes.len(), page.complete_up_to), (count, complete_up_to));
    }
}

#[test]
fn the_next_page_is_as_long_as_the_byte_limit_allows() {
    assert_eq!(page(&[]).next_length(), MAX_PAGE_LENGTH);
    assert_eq!(page(&[10; 5]).next_length(), MAX_PAGE_LENGTH);
    assert_eq!(page(&[MAX_REPLAY_BYTES / 10; 5]).next_length(), 10);
    assert_eq!(page(&[2 * MAX_REPLAY_BYTES]).next_length(), 1);
}
