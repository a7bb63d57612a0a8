//! A user checks whether another user is a contact.

use parlance_core::UserId;

use super::system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::UserPair;
use crate::store::pairs;

/// True if the two users are contacts. A user is never a contact of themselves.
pub(crate) async fn check_contact(
    app: &App,
    acting_user: UserId,
    other: UserId,
) -> Result<bool, Error> {
    let Some(users) = UserPair::new(acting_user, other) else { return Ok(false) };
    let pair = pairs::find(&mut *app.pool.acquire().await?, users).await?;
    system_rooms::make_missing(app, &pair).await;
    Ok(pair.is_some_and(|pair| pair.is_contacts()))
}
