//! The latest changes of profiles, for caches of users.

use std::collections::VecDeque;

use parlance_core::UserId;
use sqlx::PgConnection;

use crate::store::users;

/// Changes that are remembered, and the most that a reader is told of at once. A reader that has
/// missed more forgets all users.
const MAX_CHANGES: usize = 1_000;

/// Changes in the order of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct ProfileChanges {
    /// No change above this number is missing.
    complete_after: i64,
    last_number: i64,
    changes: VecDeque<(i64, UserId)>,
}

impl ProfileChanges {
    /// Knows no change up to a number, and none after it yet.
    pub(crate) fn since(number: i64) -> Self {
        Self { complete_after: number, last_number: number, changes: VecDeque::new() }
    }

    pub(crate) fn last_number(&self) -> i64 {
        self.last_number
    }

    /// Returns the users whose profiles changed after a number; `None` if some are not known.
    pub(crate) fn after(&self, number: i64) -> Option<Vec<UserId>> {
        if number < self.complete_after {
            return None;
        }
        let first = self.changes.partition_point(|(changed, _)| *changed <= number);
        Some(self.changes.range(first..).map(|(_, user_id)| *user_id).collect())
    }

    /// Adds the changes after the last one. The caller has read `revision` before, so every change up
    /// to it is seen.
    pub(crate) async fn read_on(
        &self,
        conn: &mut PgConnection,
        revision: i64,
    ) -> sqlx::Result<Self> {
        let limit = MAX_CHANGES as i64 + 1;
        let new = users::list_changed_profiles(conn, self.last_number, limit).await?;
        Ok(self.with(new, revision))
    }

    /// Adds changes that follow the last one. After a failover the revision may be below the last
    /// number, until the next change.
    fn with(&self, new: Vec<(i64, UserId)>, revision: i64) -> Self {
        if new.len() > MAX_CHANGES {
            return Self::since(revision.max(self.last_number));
        }
        let mut next = self.clone();
        next.changes.extend(new);
        next.last_number = next.changes.back().map_or(self.last_number, |(number, _)| *number);
        let dropped = next.changes.len().saturating_sub(MAX_CHANGES);
        if let Some((number, _)) = next.changes.drain(..dropped).next_back() {
            next.complete_after = number;
        }
        next
    }
}

#[cfg(test)]
#[path = "tests/profile_changes.rs"]
mod tests;
