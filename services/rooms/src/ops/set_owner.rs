//! The owner hands a room over.

use parlance_core::{RoomId, UserId};

use super::lock_room::{find_own_room, lock_own_room};
use crate::answer_budget::Reservation;
use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::{members, rooms};

/// Makes a member the owner, and returns the room afterwards. The old owner stays a member. `owner`
/// is `None` if the caller knows that the user does not exist.
pub(crate) async fn set_owner(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
    owner: Option<UserId>,
) -> Result<(Room, Reservation), Error> {
    let room = find_own_room(app, room_id, acting_user).await?;
    let owner = owner.ok_or(Error::UserNotFound)?;
    let _turn = app.change_queue.turn(room_id).await?;
    let reservation = app.answer_budget.reserve(room.member_count).await?;
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    if !members::contains(&mut tx, room_id, owner).await? {
        return Err(Error::MemberNotFound);
    }
    if owner != acting_user {
        rooms::set_owner(&mut tx, room_id, owner).await?;
        // Members are listed with the owner first, and kept by the version.
        rooms::increase_version(&mut tx, room_id, app.clock.now()).await?;
    }
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, reservation))
}
