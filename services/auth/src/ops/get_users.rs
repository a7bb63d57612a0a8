//! Looking users up by id.

use super::lookup_limit::check_lookup_size;
use crate::app::App;
use crate::error::Error;
use crate::model::User;
use crate::store::users;

/// Returns the users with these ids. Leaves out unknown ids. The ids are plain numbers because the
/// statement takes them as an array, without a copy.
pub(crate) async fn get_users(app: &App, user_ids: &[i64]) -> Result<Vec<User>, Error> {
    check_lookup_size(user_ids.len())?;
    if user_ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(users::list_by_ids(&mut *app.pool.acquire().await?, user_ids).await?)
}
