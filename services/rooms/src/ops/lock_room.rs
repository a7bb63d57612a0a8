//! Locking a room for a change. The checks that several use cases share stand here, in the order in
//! which they refuse.

use parlance_core::{RoomId, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::store::rooms;

/// Locks a user room and returns its owner.
pub(super) async fn lock_user_room(
    conn: &mut PgConnection,
    room_id: RoomId,
) -> Result<UserId, Error> {
    match rooms::lock(conn, room_id).await? {
        None => Err(Error::RoomNotFound),
        Some(None) => Err(Error::SystemRoom),
        Some(Some(owner)) => Ok(owner),
    }
}

/// Locks a user room for a change that only its owner may make.
pub(super) async fn lock_own_room(
    conn: &mut PgConnection,
    room_id: RoomId,
    acting_user: UserId,
) -> Result<(), Error> {
    let owner = lock_user_room(conn, room_id).await?;
    if owner == acting_user { Ok(()) } else { Err(Error::NotTheOwner) }
}
