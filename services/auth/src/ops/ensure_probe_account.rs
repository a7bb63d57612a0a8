//! Making the account of the gateways' synthetic probes.

use sqlx::PgConnection;

use crate::app::App;
use crate::error::Error;
use crate::model::{NewUser, User};
use crate::store::users;

/// The hyphen breaks the rules for names: no user can register the name, and no request finds it.
const NAME: &str = "parlance-probe";

/// Returns the account. Makes it if there is none.
pub(crate) async fn ensure_probe_account(app: &App) -> Result<User, Error> {
    let mut conn = app.pool.acquire().await?;
    if let Some(account) = find(&mut conn).await? {
        return Ok(account);
    }
    let account = NewUser {
        username: NAME,
        folded_username: NAME,
        password_hash: None,
        created_at: app.clock.now(),
    };
    match users::insert(&mut conn, &account, None).await {
        // Another request was faster.
        Err(error) => find(&mut conn).await?.ok_or_else(|| error.into()),
        Ok(account) => Ok(account),
    }
}

async fn find(conn: &mut PgConnection) -> Result<Option<User>, Error> {
    let found = users::list_by_folded_usernames(conn, &[NAME.to_owned()]).await?;
    Ok(found.into_iter().next().map(|(_, account)| account))
}
