//! A member leaves a room.

use parlance_core::{RoomId, UserId};

use super::end_membership::end_membership;
use super::lock_room::{check_may_leave, lock_user_room};
use crate::app::App;
use crate::error::Error;
use crate::model::EndReason;

/// Ends the membership of the acting user. The owner cannot leave: a user room always has an owner,
/// who is a member.
pub(crate) async fn leave_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<(), Error> {
    check_may_leave(app, room_id, acting_user).await?;
    let _turn = app.change_queue.turn(room_id).await?;
    let mut tx = app.pool.begin().await?;
    if lock_user_room(&mut tx, room_id).await? == acting_user {
        return Err(Error::OwnerCannotLeave);
    }
    end_membership(app, tx, room_id, acting_user, EndReason::Left).await
}
