//! The owner of a room removes a member.

use parlance_core::{RoomId, UserId};

use super::end_membership::end_membership;
use super::lock_room::{find_own_room, lock_own_room};
use crate::app::App;
use crate::error::Error;
use crate::model::EndReason;

/// Ends the membership of another user. `member` is `None` if the caller knows that the user does
/// not exist.
pub(crate) async fn remove_member(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
    member: Option<UserId>,
) -> Result<(), Error> {
    find_own_room(app, room_id, acting_user).await?;
    let member = member.ok_or(Error::UserNotFound)?;
    if member == acting_user {
        return Err(Error::OwnerCannotLeave);
    }
    let _turn = app.change_queue.turn(room_id).await?;
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    end_membership(app, tx, room_id, member, EndReason::Removed).await
}
