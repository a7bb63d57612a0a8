//! A user makes a room.

use parlance_core::{RoomName, UserId};

use super::add_contacts::add_contacts;
use crate::app::App;
use crate::error::Error;
use crate::model::{Room, Skipped};
use crate::store::{members, rooms};

/// Makes a room with its owner as the first member, and adds the users who may be added.
pub(crate) async fn create_room(
    app: &App,
    owner: UserId,
    name: &RoomName,
    users: &[UserId],
) -> Result<(Room, Vec<Skipped>), Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let room_id = rooms::insert(&mut tx, name, owner, now).await?;
    members::insert(&mut tx, room_id, &[owner], now).await?;
    let added = add_contacts(&mut tx, room_id, owner, users, now).await?;
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, added.skipped))
}
