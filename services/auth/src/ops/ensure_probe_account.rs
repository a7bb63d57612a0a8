//! Making the account of the gateways' synthetic probes.

use crate::app::App;
use crate::error::Error;
use crate::model::{NewUser, User};
use crate::store::users;

/// The hyphen breaks the rules for names: no user can register the name, and no request finds it.
const NAME: &str = "parlance-probe";
/// No bcrypt hash, so no password matches.
const NO_HASH: &str = "!";

/// Returns the account. Makes it if there is none; of several requests at once, one does.
pub(crate) async fn ensure_probe_account(app: &App) -> Result<User, Error> {
    let mut conn = app.pool.acquire().await?;
    let account = NewUser {
        username: NAME,
        folded_username: NAME,
        password_hash: NO_HASH,
        created_at: app.clock.now(),
    };
    Ok(users::ensure(&mut conn, &account).await?)
}
