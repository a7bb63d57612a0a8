use parlance_core::{SessionId, Timestamp};

use super::EndedLog;
use crate::model::{EndedAccess, EndedTokens};

/// A log of entries with these numbers, each of which expires at its number in seconds.
fn log(numbers: impl IntoIterator<Item = i64>) -> EndedLog {
    let entry = |number| EndedAccess {
        number,
        tokens: EndedTokens::OfSession(SessionId::new(number)),
        expires_at: Timestamp::from_micros(number * 1_000_000),
    };
    let log = EndedLog::default();
    log.append(numbers.into_iter().map(entry).collect());
    log
}

/// The numbers of a part, and whether there are more.
fn read(log: &EndedLog, number: i64, limit: usize) -> (Vec<i64>, bool) {
    let part = log.after(number, limit);
    (part.entries.iter().map(|entry| entry.number).collect(), part.has_more)
}

#[test]
fn a_reader_that_remembers_the_last_number_reads_everything_once() {
    let log = log([2, 3, 5, 8]);
    assert_eq!(read(&log, 0, 3), (vec![2, 3, 5], true));
    assert_eq!(read(&log, 5, 3), (vec![8], false));
    assert_eq!(read(&log, 8, 3), (vec![], false));
}

#[test]
fn a_full_part_at_the_end_has_no_more() {
    assert_eq!(read(&log([1, 2]), 0, 2), (vec![1, 2], false));
}

#[test]
fn readers_go_on_after_entries_were_forgotten() {
    let log = log([1, 2, 3, 4]);
    log.forget(Timestamp::from_micros(3_000_000));
    assert_eq!(log.len(), 2);
    assert_eq!(read(&log, 1, 9), (vec![3, 4], false));
    assert_eq!(read(&log, 3, 9), (vec![4], false));
}
