//! The owner deletes a room.

use parlance_core::{RoomId, UserId};

use super::lock_room::{find_own_room, lock_own_room};
use crate::app::App;
use crate::error::Error;
use crate::model::{EndReason, MembershipEnd};
use crate::store::{membership_log, rooms};

/// Deletes the room and with it every membership.
pub(crate) async fn delete_room(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
) -> Result<(), Error> {
    find_own_room(app, room_id, acting_user).await?;
    let _turn = app.change_queue.turn(room_id).await?;
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    let room_version = rooms::delete(&mut tx, room_id).await?;
    let reason = EndReason::RoomDeleted;
    let end = MembershipEnd { room_id, user_id: None, reason, room_version };
    membership_log::insert(&mut tx, end).await?;
    tx.commit().await?;
    app.membership_ended.send_replace(());
    Ok(())
}
