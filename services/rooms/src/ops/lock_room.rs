//! Checking and locking a room for a change. The checks that several use cases share stand here, in
//! the order in which they refuse.
//!
//! A user who may not make the change is refused after one row is read, and locks nothing. What was
//! checked is checked again under the lock.

use parlance_core::{RoomId, UserId};
use sqlx::PgConnection;

use crate::app::App;
use crate::error::Error;
use crate::model::{Kind, RoomSummary};
use crate::store::rooms;

/// Returns a user room that the acting user owns.
pub(super) async fn find_own_room(
    app: &App,
    room_id: RoomId,
    acting_user: UserId,
) -> Result<RoomSummary, Error> {
    let (room, owner, _) = find_user_room(app, room_id, acting_user).await?;
    if owner == acting_user { Ok(room) } else { Err(Error::NotTheOwner) }
}

/// Fails unless the acting user is a member of a user room and does not own it.
pub(super) async fn check_may_leave(
    app: &App,
    room_id: RoomId,
    acting_user: UserId,
) -> Result<(), Error> {
    match find_user_room(app, room_id, acting_user).await? {
        (_, owner, _) if owner == acting_user => Err(Error::OwnerCannotLeave),
        (_, _, false) => Err(Error::MemberNotFound),
        _ => Ok(()),
    }
}

/// Returns a user room, its owner, and true if the user is a member.
async fn find_user_room(
    app: &App,
    room_id: RoomId,
    user: UserId,
) -> Result<(RoomSummary, UserId, bool), Error> {
    let found = rooms::find_summary(&mut *app.pool.acquire().await?, room_id, user).await?;
    let (room, is_member) = found.ok_or(Error::RoomNotFound)?;
    match room.kind {
        Kind::System => Err(Error::SystemRoom),
        Kind::User { owner_id, .. } => Ok((room, owner_id, is_member)),
    }
}

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
