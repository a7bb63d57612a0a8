//! Two new contacts get their system room.

use parlance_core::RoomId;

use crate::app::App;
use crate::error::Error;
use crate::model::UserPair;
use crate::store::{members, rooms};

/// Returns the system room of the two users, and makes it if there is none. Of concurrent calls one
/// makes the room: the unique index on the pair makes the others wait and then find it.
pub(crate) async fn ensure_system_room(app: &App, users: UserPair) -> Result<RoomId, Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let room_id = match rooms::insert_system(&mut tx, users, now).await? {
        Some(room_id) => {
            members::insert(&mut tx, room_id, &[users.low, users.high], now).await?;
            room_id
        }
        None => rooms::find_system(&mut tx, users).await?.ok_or(Error::RoomNotFound)?,
    };
    tx.commit().await?;
    Ok(room_id)
}
