//! What verifiers of tokens are told, change by change.

use std::sync::Arc;

use parlance_core::{Clock, UserId};
use tokio::sync::watch;
use tokio::time::Instant;

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
    /// The users whose profiles have changed; `None` if any may have.
    pub(crate) changed_user_ids: Option<Vec<UserId>>,
}

/// Reads the access state from the beginning, and then each change of it. A slow reader gets several
/// changes in one update and misses none.
pub(crate) struct AccessUpdates {
    access: watch::Receiver<Arc<Access>>,
    log: Arc<EndedLog>,
    clock: Clock,
    /// False if the reader needs the state in every update. Then it gets none without a change.
    is_incremental: bool,
    sent: Option<Sent>,
}

/// What the reader knows.
#[derive(Clone, Copy, PartialEq)]
struct Sent {
    /// The revision of the state.
    revision: i64,
    /// When the state was confirmed; `None` if the reader does not ask.
    confirmed_at: Option<Instant>,
    /// The last entry of the log.
    number: i64,
    is_complete: bool,
    /// The last change of a profile.
    profile_number: i64,
}

impl AccessUpdates {
    pub(crate) fn new(
        access: watch::Receiver<Arc<Access>>,
        log: Arc<EndedLog>,
        clock: Clock,
        is_incremental: bool,
    ) -> Self {
        Self { access, log, clock, is_incremental, sent: None }
    }

    /// Waits for a change or, if the reader is incremental, for news that there is none. `None`
    /// when the process ends.
    pub(crate) async fn next(&mut self) -> Option<AccessUpdate> {
        loop {
            if let Some(update) = self.take() {
                return Some(update);
            }
            self.access.changed().await.ok()?;
        }
    }

    /// Returns what the reader does not know yet. The log is appended to before the revisions
    /// change, so that what is not seen here wakes the reader again.
    fn take(&mut self) -> Option<AccessUpdate> {
        let access = self.access.borrow_and_update().clone();
        let last_number = self.sent.map_or(0, |sent| sent.number);
        let Part { entries, has_more } = self.log.after(last_number, MAX_ENTRIES);
        let known = Sent {
            revision: access.revisions.access,
            confirmed_at: self.is_incremental.then_some(access.confirmed_at),
            number: entries.last().map_or(last_number, |entry| entry.number),
            is_complete: !has_more,
            profile_number: access.profiles.last_number(),
        };
        if self.sent == Some(known) {
            return None;
        }
        let is_new_state = self.sent.is_none_or(|sent| sent.revision != known.revision);
        let changed_user_ids =
            self.sent.and_then(|sent| access.profiles.after(sent.profile_number));
        self.sent = Some(known);
        let sends_state = is_new_state || !self.is_incremental;
        Some(AccessUpdate {
            state: sends_state.then(|| access.state(self.clock.now())),
            ended: entries,
            is_complete: known.is_complete,
            changed_user_ids,
        })
    }
}
