//! The owner of a room adds members.

use parlance_core::{RoomId, UserId};

use super::add_contacts::add_contacts;
use super::lock_room::{find_own_room, lock_own_room};
use crate::answer_budget::Reservation;
use crate::app::App;
use crate::error::Error;
use crate::model::{Room, Skipped};
use crate::store::rooms;

/// Adds the users who may be added. Without any, the room stays as it is. A user who may not add
/// members is refused after one row is read, however many members there are.
pub(crate) async fn add_members(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
    users: &[UserId],
) -> Result<(Room, Vec<Skipped>, Reservation), Error> {
    let room = find_own_room(app, room_id, acting_user).await?;
    let _turn = app.change_queue.turn(room_id).await?;
    let reservation = app.answer_budget.reserve(room.member_count + users.len()).await?;
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    let added = add_contacts(&mut tx, room_id, acting_user, users, now).await?;
    if added.has_new_members {
        rooms::increase_version(&mut tx, room_id, now).await?;
    }
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, added.skipped, reservation))
}
