//! What has ended, in memory, in the order in which it ended. `background::refresh_access` appends
//! to it; streams to verifiers read on from where they are.

use std::collections::VecDeque;
use std::sync::Mutex;

use parlance_core::Timestamp;

use crate::model::EndedAccess;

/// Entries that are in force until their tokens have expired. Their number is bounded by the number
/// of log-ins in `ACCESS_TOKEN_TTL`.
#[derive(Debug, Default)]
pub(crate) struct EndedLog(Mutex<VecDeque<EndedAccess>>);

/// A part of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) entries: Vec<EndedAccess>,
    /// True if the log has more entries above the last one.
    pub(crate) has_more: bool,
}

impl EndedLog {
    /// Appends entries, whose numbers grow and are above those in the log.
    pub(crate) fn append(&self, entries: Vec<EndedAccess>) {
        self.lock().extend(entries);
    }

    /// Returns up to `limit` entries above a number.
    pub(crate) fn after(&self, number: i64, limit: usize) -> Part {
        let log = self.lock();
        let first = log.partition_point(|entry| entry.number <= number);
        let entries: Vec<EndedAccess> = log.range(first..).take(limit).cloned().collect();
        let has_more = log.len() > first + entries.len();
        Part { entries, has_more }
    }

    /// Drops the entries whose tokens expired before a time.
    pub(crate) fn forget(&self, expired_before: Timestamp) {
        self.lock().retain(|entry| entry.expires_at >= expired_before);
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The log is consistent even if a thread panicked while it had the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<EndedAccess>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/ended_log.rs"]
mod tests;
