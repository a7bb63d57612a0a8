//! A user looks at all of their rooms.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::Room;
use crate::store::rooms;

/// The acting user's rooms with all members, system rooms included, oldest first; one statement however many there are.
pub(crate) async fn list_rooms(app: &App, acting_user: UserId) -> Result<Vec<Room>, Error> {
    let mut conn = app.pool.acquire().await?;
    Ok(rooms::list_of_member(&mut conn, acting_user).await?)
}
