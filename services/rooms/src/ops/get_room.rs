//! A member reads a room.

use parlance_core::{RoomId, UserId};

use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// Returns the room with its members, if the acting user is a member.
pub(crate) async fn get_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<Room, Error> {
    let room = rooms::find(&mut *app.pool.acquire().await?, room_id).await?;
    let room = room.ok_or(Error::RoomNotFound)?;
    if room.has_member(acting_user) { Ok(room) } else { Err(Error::NotAMember) }
}
