//! Turns the usernames of a request into user ids, and names the users who were not added.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parlance_core::Username;
use parlance_proto::rooms;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::dto::User;
use crate::cache::users::UserCache;
use crate::error::ApiError;

/// A name that was not added to a room.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Skipped {
    /// The name as requested.
    username: String,
    /// The reason.
    reason: SkipReason,
}

/// Why a user was not added to a room.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SkipReason {
    /// No user has this name.
    UserNotFound,
    /// The user is not a contact of the owner.
    NotAContact,
    /// The user is already a member.
    AlreadyAMember,
}

/// The names of a request, without duplicates, and their users.
pub(crate) struct Candidates(Vec<(String, Option<Arc<User>>)>);

impl Candidates {
    /// Looks up all names with one call.
    pub(crate) async fn look_up(users: &UserCache, usernames: &[String]) -> Result<Self, ApiError> {
        let names = without_duplicates(usernames);
        let found = users.find(&names).await?;
        Ok(Self::new(names, &found))
    }

    fn new(names: Vec<String>, found: &HashMap<String, Arc<User>>) -> Self {
        let with_user = |name: String| {
            let user = found.get(&name).cloned();
            (name, user)
        };
        Self(names.into_iter().map(with_user).collect())
    }

    /// Returns the ids of the names that have a user.
    pub(crate) fn user_ids(&self) -> Vec<i64> {
        self.0.iter().filter_map(|(_, user)| Some(user.as_ref()?.id.get())).collect()
    }

    /// Returns the names that have no user and the users that rooms skipped, in the order of the
    /// request.
    pub(crate) fn skipped(self, by_rooms: &[rooms::Skipped]) -> Vec<Skipped> {
        let reasons: HashMap<i64, SkipReason> =
            by_rooms.iter().map(|skipped| (skipped.user_id, reason(skipped.reason()))).collect();
        let skipped = |(username, user): (String, Option<Arc<User>>)| {
            let reason = match user {
                None => SkipReason::UserNotFound,
                Some(user) => *reasons.get(&user.id.get())?,
            };
            Some(Skipped { username, reason })
        };
        self.0.into_iter().filter_map(skipped).collect()
    }
}

fn reason(reason: rooms::SkipReason) -> SkipReason {
    match reason {
        rooms::SkipReason::AlreadyAMember => SkipReason::AlreadyAMember,
        rooms::SkipReason::NotAContact | rooms::SkipReason::Unspecified => SkipReason::NotAContact,
    }
}

/// Drops each name that repeats an earlier one in any case. Keeps the order.
fn without_duplicates(usernames: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let is_new = |name: &&String| {
        let folded = Username::parse((*name).clone()).map(|name| name.folded());
        seen.insert(folded.unwrap_or_else(|_| (*name).clone()))
    };
    usernames.iter().filter(is_new).cloned().collect()
}

#[cfg(test)]
#[path = "tests/members.rs"]
mod tests;
