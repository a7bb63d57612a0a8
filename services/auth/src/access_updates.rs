//! What verifiers of tokens are told, change by change.

use std::sync::Arc;

use parlance_core::Clock;
use tokio::sync::watch;

use crate::access::Access;
use crate::ended_log::{EndedLog, Part};
use crate::model::{AccessState, EndedAccess};

/// Entries in one update: at most about half a megabyte.
const MAX_ENTRIES: usize = 10_000;

/// A change since the update before.
#[derive(Debug)]
pub(crate) struct AccessUpdate {
    /// `None` if keys and inactive users are as before.
    pub(crate) state: Option<AccessState>,
    pub(crate) ended: Vec<EndedAccess>,
    /// False if more updates are due at once.
    pub(crate) is_complete: bool,
}

/// Reads the access state from the beginning, and then each change of it. A slow reader gets several
/// changes in one update and misses none.
pub(crate) struct AccessUpdates {
    access: watch::Receiver<Arc<Access>>,
    log: Arc<EndedLog>,
    clock: Clock,
    /// The revision of the state that was sent last.
    sent_revision: Option<i64>,
    /// The last entry of the log that was sent.
    sent_number: i64,
    is_complete: bool,
}

impl AccessUpdates {
    pub(crate) fn new(
        access: watch::Receiver<Arc<Access>>,
        log: Arc<EndedLog>,
        clock: Clock,
    ) -> Self {
        Self { access, log, clock, sent_revision: None, sent_number: 0, is_complete: false }
    }

    /// Waits for a change. `None` when the process ends.
    pub(crate) async fn next(&mut self) -> Option<AccessUpdate> {
        loop {
            if let Some(update) = self.take() {
                return Some(update);
            }
            self.access.changed().await.ok()?;
        }
    }

    /// Returns what has changed. The log is appended to before the revisions change, so that what
    /// is not seen here wakes the reader again.
    fn take(&mut self) -> Option<AccessUpdate> {
        let access = self.access.borrow_and_update().clone();
        let Part { entries, has_more } = self.log.after(self.sent_number, MAX_ENTRIES);
        let is_new_state = self.sent_revision != Some(access.revisions.access);
        if !is_new_state && entries.is_empty() && self.is_complete {
            return None;
        }
        self.sent_revision = Some(access.revisions.access);
        self.sent_number = entries.last().map_or(self.sent_number, |entry| entry.number);
        self.is_complete = !has_more;
        Some(AccessUpdate {
            state: is_new_state.then(|| access.state(self.clock.now())),
            ended: entries,
            is_complete: self.is_complete,
        })
    }
}
