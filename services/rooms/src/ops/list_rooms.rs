//! A user looks at all of their rooms.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// The acting user's rooms with all members, system rooms included, oldest first: one statement
/// however many there are, and a second one when the members of some have changed since they were
/// last read.
pub(crate) async fn list_rooms(app: &App, acting_user: UserId) -> Result<Vec<Room>, Error> {
    let mut conn = app.pool.acquire().await?;
    let mut rooms = Vec::new();
    let mut unknown = Vec::new();
    for head in rooms::heads_of_member(&mut conn, acting_user).await? {
        match app.rosters.complete(head) {
            Ok(room) => rooms.push(room),
            Err(room_id) => unknown.push(room_id),
        }
    }
    if unknown.is_empty() {
        return Ok(rooms);
    }
    for (room, version) in rooms::find_all(&mut conn, &unknown).await? {
        app.rosters.remember(&room, version);
        // The membership may have ended between the two statements.
        if room.has_member(acting_user) {
            rooms.push(room);
        }
    }
    rooms.sort_unstable_by_key(|room| room.id);
    Ok(rooms)
}
