//! Deactivating a user, or activating them again.

use parlance_core::{Clock, Username};
use parlance_runtime::postgres::Pool;

use crate::error::Error;
use crate::model::User;
use crate::store::users;

/// Makes a user active or inactive. The access state reaches verifiers of tokens within a second.
/// `None` if no user has the name.
pub(crate) async fn set_active(
    pool: &Pool,
    clock: &Clock,
    username: &str,
    is_active: bool,
) -> Result<Option<User>, Error> {
    let Ok(username) = Username::parse(username.to_owned()) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    Ok(users::set_active(&mut conn, &username.folded(), is_active, clock.now()).await?)
}
