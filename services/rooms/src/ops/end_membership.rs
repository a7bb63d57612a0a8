//! The part that leaving a room and removing a member share.

use parlance_core::{RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::model::{EndReason, MembershipEnd};
use crate::store::{members, membership_log, rooms};

/// Ends the membership and logs its end. The room is locked.
pub(super) async fn end_membership(
    conn: &mut PgConnection,
    room_id: RoomId,
    user_id: UserId,
    reason: EndReason,
    now: Timestamp,
) -> Result<(), Error> {
    if !members::delete(conn, room_id, user_id).await? {
        return Err(Error::MemberNotFound);
    }
    let room_version = rooms::increase_version(conn, room_id, now).await?;
    let end = MembershipEnd { room_id, user_id: Some(user_id), reason, room_version };
    membership_log::insert(conn, end, now).await?;
    Ok(())
}
