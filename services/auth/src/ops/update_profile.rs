//! A user changes what others see of them.

use parlance_core::{AvatarUrl, DisplayName, UserId};

use crate::app::App;
use crate::error::Error;
use crate::model::{TextChange, User};
use crate::store::users;

/// Changes the profile, and returns the user afterwards.
pub(crate) async fn update_profile(
    app: &App,
    user_id: UserId,
    display_name: &TextChange<DisplayName>,
    avatar_url: &TextChange<AvatarUrl>,
) -> Result<User, Error> {
    let mut conn = app.pool.acquire().await?;
    let now = app.clock.now();
    let user = users::update_profile(&mut conn, user_id, display_name, avatar_url, now).await?;
    // Only a restore from a backup makes a user of a valid token unknown.
    user.ok_or(Error::SessionRevoked)
}
