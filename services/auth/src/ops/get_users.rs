//! Looking users up by id.

use crate::app::App;
use crate::error::Error;
use crate::model::User;
use crate::ops::check_lookup_size;
use crate::store::users;

/// The users with these ids; ids nobody has are left out. The ids come as the array that the
/// statement takes.
pub(crate) async fn get_users(app: &App, user_ids: &[i64]) -> Result<Vec<User>, Error> {
    check_lookup_size(user_ids.len())?;
    if user_ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(users::list_by_ids(&mut *app.pool.acquire().await?, user_ids).await?)
}
