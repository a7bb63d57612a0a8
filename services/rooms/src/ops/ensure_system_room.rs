//! Two users have become contacts and get the room that they share.

use parlance_core::RoomId;

use crate::app::App;
use crate::error::Error;
use crate::model::Pair;
use crate::store::{members, rooms};

/// Makes the system room of the two unless it is there. However many calls come at once, there is
/// one room: the unique index on the pair makes the others wait for the first one, and then find
/// its room.
pub(crate) async fn ensure_system_room(app: &App, pair: Pair) -> Result<RoomId, Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let room_id = match rooms::insert_system(&mut tx, pair, now).await? {
        Some(room_id) => {
            members::insert(&mut tx, room_id, &[pair.low, pair.high], now).await?;
            room_id
        }
        None => rooms::find_system(&mut tx, pair).await?.ok_or(Error::RoomNotFound)?,
    };
    tx.commit().await?;
    Ok(room_id)
}
