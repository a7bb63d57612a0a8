//! Issuing a code that resets a password, for an operator.

use parlance_core::Username;
use parlance_runtime::postgres::Pool;

use crate::error::Error;
use crate::model::User;
use crate::refresh_token::{TokenHash, generate};
use crate::store::{reset_codes, users};

/// Makes a code for a user, which voids an earlier one. It is good once, for an hour. `None` if no
/// user has the name.
pub(crate) async fn issue_reset(
    pool: &Pool,
    username: &str,
) -> Result<Option<(User, String)>, Error> {
    let Ok(username) = Username::parse(username.to_owned()) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    let found = users::list_by_folded_usernames(&mut conn, &[username.folded()]).await?;
    let Some((_, user)) = found.into_iter().next() else {
        return Ok(None);
    };
    let code = generate()?;
    reset_codes::replace(&mut conn, user.id, &TokenHash::of(&code)).await?;
    Ok(Some((user, code)))
}
