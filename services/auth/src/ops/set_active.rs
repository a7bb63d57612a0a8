//! Deactivating a user, and taking it back.

use parlance_core::{Clock, Username};
use sqlx::PgPool;

use crate::error::Error;
use crate::model::User;
use crate::store::users;

/// Makes a user active or inactive; verifiers of tokens hear of it within a second. `None` when
/// nobody has the name.
pub(crate) async fn set_active(
    pool: &PgPool,
    clock: &Clock,
    username: String,
    is_active: bool,
) -> Result<Option<User>, Error> {
    let Ok(username) = Username::parse(username) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    Ok(users::set_active(&mut conn, &username.folded(), is_active, clock.now()).await?)
}
