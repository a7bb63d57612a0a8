//! Who may change a room: the refusals that several use cases share, in their order.

use parlance_core::{RoomId, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::model::Authority;
use crate::store::rooms;

/// Locks a user room and says who owns it.
pub(super) async fn lock_user_room(
    conn: &mut PgConnection,
    room_id: RoomId,
) -> Result<UserId, Error> {
    match rooms::lock(conn, room_id).await? {
        None => Err(Error::RoomNotFound),
        Some(Authority::Nobody) => Err(Error::SystemRoom),
        Some(Authority::Owner(owner)) => Ok(owner),
    }
}

/// Locks a user room for a change that is its owner's to make.
pub(super) async fn lock_own_room(
    conn: &mut PgConnection,
    room_id: RoomId,
    acting_user: UserId,
) -> Result<(), Error> {
    let owner = lock_user_room(conn, room_id).await?;
    if owner == acting_user { Ok(()) } else { Err(Error::NotTheOwner) }
}
