//! The owner of a room adds contacts.

use parlance_core::{RoomId, UserId};

use super::admission::admit;
use super::authority::lock_own_room;
use crate::app::App;
use crate::error::Error;
use crate::model::{Room, Skipped};
use crate::store::rooms;

/// Adds those of the wanted users who can be added. When there are none the room stays as it is.
pub(crate) async fn add_members(
    app: &App,
    acting_user: UserId,
    room_id: RoomId,
    wanted: &[UserId],
) -> Result<(Room, Vec<Skipped>), Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    lock_own_room(&mut tx, room_id, acting_user).await?;
    let admission = admit(&mut tx, room_id, acting_user, wanted, now).await?;
    if admission.has_admitted {
        rooms::count_membership_change(&mut tx, room_id, now).await?;
    }
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, admission.skipped))
}
