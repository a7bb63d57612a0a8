//! A member reads a room.

use parlance_core::{RoomId, UserId};

use crate::answer_budget::Reservation;
use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// Returns the room with its members, if the acting user is a member. Others are refused after one
/// row is read, however many members there are.
pub(crate) async fn get_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<(Room, Reservation), Error> {
    let mut conn = app.pool.acquire().await?;
    let found = rooms::find_summary(&mut conn, room_id, acting_user).await?;
    drop(conn);
    let (summary, is_member) = found.ok_or(Error::RoomNotFound)?;
    if !is_member {
        return Err(Error::NotAMember);
    }
    let reservation = app.answer_budget.reserve(summary.member_count).await?;
    if let Ok(room) = app.member_cache.complete(summary) {
        return Ok((room, reservation));
    }
    let mut conn = app.pool.acquire().await?;
    let (room, version) =
        rooms::list_by_ids(&mut conn, &[room_id]).await?.pop().ok_or(Error::RoomNotFound)?;
    app.member_cache.insert(&room, version);
    // The membership may have ended between the two statements.
    if room.has_member(acting_user) { Ok((room, reservation)) } else { Err(Error::NotAMember) }
}
