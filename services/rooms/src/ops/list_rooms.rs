//! A user lists their rooms.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// Returns the rooms of the acting user with all members, system rooms included, oldest first. One
/// statement reads the rooms, and a second one the members that are not in the cache.
pub(crate) async fn list_rooms(app: &App, acting_user: UserId) -> Result<Vec<Room>, Error> {
    let mut conn = app.pool.acquire().await?;
    let mut rooms = Vec::new();
    let mut uncached = Vec::new();
    for summary in rooms::list_summaries(&mut conn, acting_user).await? {
        match app.member_cache.complete(summary) {
            Ok(room) => rooms.push(room),
            Err(room_id) => uncached.push(room_id),
        }
    }
    if uncached.is_empty() {
        return Ok(rooms);
    }
    for (room, version) in rooms::list_by_ids(&mut conn, &uncached).await? {
        app.member_cache.insert(&room, version);
        // The membership may have ended between the two statements.
        if room.has_member(acting_user) {
            rooms.push(room);
        }
    }
    rooms.sort_unstable_by_key(|room| room.id);
    Ok(rooms)
}
