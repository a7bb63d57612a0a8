//! The rule for new members: contacts of the owner who are not members yet. Other users are
//! skipped, and the request succeeds.

use std::collections::HashSet;

use parlance_core::{RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::model::{Candidate, SkipReason, Skipped};
use crate::store::members;

/// Adds the users who may be added, and returns the others, in the order of the request, each once.
/// The room is locked or new.
pub(super) async fn add_contacts(
    conn: &mut PgConnection,
    room_id: RoomId,
    owner: UserId,
    users: &[UserId],
    now: Timestamp,
) -> Result<Added, Error> {
    let users = without_repetitions(users);
    let mut added = Vec::new();
    let mut skipped = Vec::new();
    if !users.is_empty() {
        for candidate in members::list_candidates(conn, room_id, owner, &users).await? {
            match reason_to_skip(candidate) {
                None => added.push(candidate.user_id),
                Some(reason) => skipped.push(Skipped { user_id: candidate.user_id, reason }),
            }
        }
    }
    if !added.is_empty() {
        members::insert(conn, room_id, &added, now).await?;
    }
    Ok(Added { has_new_members: !added.is_empty(), skipped })
}

/// The result of [`add_contacts`].
pub(super) struct Added {
    pub(super) has_new_members: bool,
    pub(super) skipped: Vec<Skipped>,
}

fn reason_to_skip(candidate: Candidate) -> Option<SkipReason> {
    match candidate {
        Candidate { is_member: true, .. } => Some(SkipReason::AlreadyAMember),
        Candidate { is_contact_of_owner: false, .. } => Some(SkipReason::NotAContact),
        _ => None,
    }
}

fn without_repetitions(users: &[UserId]) -> Vec<UserId> {
    let mut known = HashSet::new();
    users.iter().copied().filter(|user| known.insert(*user)).collect()
}
