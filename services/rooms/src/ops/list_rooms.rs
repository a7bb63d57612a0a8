//! A user lists their rooms.

use parlance_core::{RoomId, UserId};

use crate::answer_budget::Reservation;
use crate::app::App;
use crate::error::Error;
use crate::model::{Room, RoomSummary};
use crate::store::rooms;

/// Members that one statement reads, unless a single room has more: few enough that the statement
/// ends long before its timeout.
const MAX_MEMBERS_PER_STATEMENT: usize = 100_000;

/// Returns the rooms of the acting user with all members, system rooms included, oldest first. One
/// statement reads the rooms, and a second one the members that are not in the cache; further ones
/// if there are very many.
pub(crate) async fn list_rooms(
    app: &App,
    acting_user: UserId,
) -> Result<(Vec<Room>, Reservation), Error> {
    let mut conn = app.pool.acquire().await?;
    let summaries = rooms::list_summaries(&mut conn, acting_user).await?;
    drop(conn);
    let members = summaries.iter().map(|summary| summary.member_count).sum();
    let reservation = app.answer_budget.reserve(members).await?;

    let mut rooms = Vec::new();
    let mut uncached = Vec::new();
    for summary in summaries {
        match app.member_cache.complete(summary) {
            Ok(room) => rooms.push(room),
            Err(summary) => uncached.push(summary),
        }
    }
    if uncached.is_empty() {
        return Ok((rooms, reservation));
    }
    for room_ids in divide(&uncached) {
        let mut conn = app.pool.acquire().await?;
        for (room, version) in rooms::list_by_ids(&mut conn, &room_ids).await? {
            app.member_cache.insert(&room, version);
            // The membership may have ended between the two statements.
            if room.has_member(acting_user) {
                rooms.push(room);
            }
        }
    }
    rooms.sort_unstable_by_key(|room| room.id);
    Ok((rooms, reservation))
}

/// Divides rooms into parts, each for one statement.
fn divide(rooms: &[RoomSummary]) -> Vec<Vec<RoomId>> {
    let mut parts = vec![Vec::new()];
    let mut members = 0;
    for room in rooms {
        members += room.member_count;
        if members > MAX_MEMBERS_PER_STATEMENT {
            parts.push(Vec::new());
            members = room.member_count;
        }
        if let Some(part) = parts.last_mut() {
            part.push(room.id);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
