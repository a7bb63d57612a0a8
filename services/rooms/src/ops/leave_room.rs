//! A member leaves a room.

use parlance_core::{RoomId, UserId};

use super::authority::lock_user_room;
use super::end_membership::end_membership;
use crate::app::App;
use crate::error::Error;
use crate::model::EndReason;

/// Ends the acting user's own membership. The owner, who is always a member, stays one.
pub(crate) async fn leave_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<(), Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    if lock_user_room(&mut tx, room_id).await? == acting_user {
        return Err(Error::OwnerCannotLeave);
    }
    end_membership(&mut tx, room_id, acting_user, EndReason::Left, now).await?;
    tx.commit().await?;
    app.membership_ended.send_replace(());
    Ok(())
}
