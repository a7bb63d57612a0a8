//! The part that leaving a room and removing a member share.

use parlance_core::{RoomId, UserId};
use parlance_runtime::postgres::Transaction;

use crate::app::App;
use crate::error::Error;
use crate::model::{EndReason, MembershipEnd};
use crate::store::{members, membership_log, rooms};

/// Ends the membership, logs its end and commits. The transaction has locked the room.
pub(super) async fn end_membership(
    app: &App,
    mut tx: Transaction,
    room_id: RoomId,
    user_id: UserId,
    reason: EndReason,
) -> Result<(), Error> {
    if !members::delete(&mut tx, room_id, user_id).await? {
        return Err(Error::MemberNotFound);
    }
    let now = app.clock.now();
    let room_version = rooms::increase_version(&mut tx, room_id, now).await?;
    let end = MembershipEnd { room_id, user_id: Some(user_id), reason, room_version };
    membership_log::insert(&mut tx, end).await?;
    tx.commit().await?;
    app.membership_ended.send_replace(());
    Ok(())
}
