//! Listing the sessions of a user.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::Session;
use crate::store::sessions;

/// Returns the live sessions of a user, the newest first.
pub(crate) async fn list_sessions(app: &App, user_id: UserId) -> Result<Vec<Session>, Error> {
    Ok(sessions::list(&mut *app.pool.acquire().await?, user_id).await?)
}
