//! Ending all sessions of a user, for an operator.

use std::time::Duration;

use parlance_core::{Clock, Username};
use sqlx::{Connection, PgPool};

use crate::error::Error;
use crate::model::User;
use crate::store::{sessions, users};

/// Ends all sessions of a user, and all the user's tokens without a session, which live for
/// `token_ttl` at most. `None` if no user has the name.
pub(crate) async fn end_sessions(
    pool: &PgPool,
    clock: &Clock,
    username: &str,
    token_ttl: Duration,
) -> Result<Option<User>, Error> {
    let Ok(username) = Username::parse(username.to_owned()) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    let found = users::list_by_folded_usernames(&mut conn, &[username.folded()]).await?;
    let Some((_, user)) = found.into_iter().next() else {
        return Ok(None);
    };
    let now = clock.now();
    let mut transaction = conn.begin().await?;
    sessions::end_all(&mut transaction, user.id, None, now, now.after(token_ttl)).await?;
    transaction.commit().await?;
    Ok(Some(user))
}
