//! The owner renames a room.

use parlance_core::{RoomId, RoomName, UserId};

use super::lock_room::{find_own_room, lock_own_room};
use crate::answer_budget::Reservation;
use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// Gives the room a name, and returns it afterwards. The name that it has changes nothing.
pub(crate) async fn rename_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
    name: &RoomName,
) -> Result<(Room, Reservation), Error> {
    let room = find_own_room(app, room_id, acting_user).await?;
    let _turn = app.change_queue.turn(room_id).await?;
    let reservation = app.answer_budget.reserve(room.member_count).await?;
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    rooms::rename(&mut tx, room_id, name, app.clock.now()).await?;
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, reservation))
}
