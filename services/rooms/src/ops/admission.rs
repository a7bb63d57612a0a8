//! Whom the owner of a room can add: contacts who are not members yet. All others are skipped, not
//! refused.

use std::collections::HashSet;

use parlance_core::{RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::model::{Candidate, SkipReason, Skipped};
use crate::store::members;

/// What became of the users whom the owner wanted as members.
pub(super) struct Admission {
    /// Whether there is at least one new member.
    pub(super) has_admitted: bool,
    /// The others, in the order in which they were wanted, each once.
    pub(super) skipped: Vec<Skipped>,
}

/// Adds those of the wanted users who can be added. The room is locked or new.
pub(super) async fn admit(
    conn: &mut PgConnection,
    room_id: RoomId,
    owner: UserId,
    wanted: &[UserId],
    now: Timestamp,
) -> Result<Admission, Error> {
    let wanted = without_repetitions(wanted);
    if wanted.is_empty() {
        return Ok(Admission { has_admitted: false, skipped: Vec::new() });
    }

    let mut admitted = Vec::new();
    let mut skipped = Vec::new();
    for candidate in members::candidates(conn, room_id, owner, &wanted).await? {
        match reason_to_skip(candidate) {
            None => admitted.push(candidate.user_id),
            Some(reason) => skipped.push(Skipped { user_id: candidate.user_id, reason }),
        }
    }
    if !admitted.is_empty() {
        members::insert(conn, room_id, &admitted, now).await?;
    }
    Ok(Admission { has_admitted: !admitted.is_empty(), skipped })
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
