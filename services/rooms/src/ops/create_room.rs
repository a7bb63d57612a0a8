//! A user makes a room and may bring contacts along.

use parlance_core::{RoomName, UserId};

use super::admission::admit;
use crate::app::App;
use crate::error::Error;
use crate::model::{Room, Skipped};
use crate::store::{members, rooms};

/// Makes a room whose owner and first member is the acting user.
pub(crate) async fn create_room(
    app: &App,
    acting_user: UserId,
    name: &RoomName,
    wanted: &[UserId],
) -> Result<(Room, Vec<Skipped>), Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let room_id = rooms::insert(&mut tx, name, acting_user, now).await?;
    members::insert(&mut tx, room_id, &[acting_user], now).await?;
    let admission = admit(&mut tx, room_id, acting_user, wanted, now).await?;
    let room = rooms::find(&mut tx, room_id).await?.ok_or(Error::RoomNotFound)?;
    tx.commit().await?;
    Ok((room, admission.skipped))
}
