//! A user asks about another.

use parlance_core::UserId;

use super::make_system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::{Pair, State, UserPair};
use crate::store::pairs;

/// Whether the two are contacts of each other. Nobody is a contact of themselves.
pub(crate) async fn check_contact(
    app: &App,
    acting_user: UserId,
    other: UserId,
) -> Result<bool, Error> {
    let Some(users) = UserPair::of(acting_user, other) else { return Ok(false) };
    let mut conn = app.pool.acquire().await?;
    let pair = pairs::find(&mut conn, users).await?;
    drop(conn);
    make_system_rooms::before_telling(app, &pair).await;
    Ok(matches!(pair, Some(Pair { state: State::Contacts { .. }, .. })))
}
