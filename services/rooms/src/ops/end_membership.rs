//! What every end of a single membership has in common.

use parlance_core::{RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::model::{End, EndReason};
use crate::store::{members, membership_log, rooms};

/// Ends the membership and writes it to the log. The room is locked.
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
    let room_version = rooms::count_membership_change(conn, room_id, now).await?;
    let end = End { room_id, user_id: Some(user_id), reason, room_version };
    membership_log::insert(conn, end, now).await?;
    Ok(())
}
