//! Deactivating a user, or activating them again.

use std::slice::from_ref;
use std::time::Duration;

use parlance_core::{Clock, Username};
use sqlx::{Connection, PgPool};

use crate::error::Error;
use crate::model::User;
use crate::store::{sessions, users};

/// Accepts a user's password again. `None` if no user has the name.
pub(crate) async fn activate(
    pool: &PgPool,
    clock: &Clock,
    username: &str,
) -> Result<Option<User>, Error> {
    let Ok(username) = Username::parse(username.to_owned()) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    Ok(users::set_active(&mut conn, &username.folded(), true, clock.now()).await?)
}

/// Refuses a user's password, and ends all sessions and tokens of the user, which live for
/// `token_ttl` at most: they stay ended when the user is active again. `None` if no user has the
/// name.
pub(crate) async fn deactivate(
    pool: &PgPool,
    clock: &Clock,
    username: &str,
    token_ttl: Duration,
) -> Result<Option<User>, Error> {
    let Ok(username) = Username::parse(username.to_owned()) else {
        return Ok(None);
    };
    let (folded, now) = (username.folded(), clock.now());
    let mut conn = pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    let found = users::list_by_folded_usernames(&mut transaction, from_ref(&folded)).await?;
    let Some((_, user)) = found.into_iter().next() else {
        return Ok(None);
    };
    // First, because everything takes the locks in this order: user, sessions, revision.
    sessions::end_all(&mut transaction, user.id, None, now, now.after(token_ttl)).await?;
    let user = users::set_active(&mut transaction, &folded, false, now).await?;
    transaction.commit().await?;
    Ok(user)
}
