//! A member looks at a room.

use parlance_core::{RoomId, UserId};

use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// The room with its members, for a member.
pub(crate) async fn get_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<Room, Error> {
    let mut conn = app.pool.acquire().await?;
    let room = rooms::find(&mut conn, room_id).await?.ok_or(Error::RoomNotFound)?;
    if room.has_member(acting_user) { Ok(room) } else { Err(Error::NotAMember) }
}
