//! Checking a password and issuing a token.

use sqlx::Connection;

use super::verify_password::{Verified, verify_password};
use crate::account::Account;
use crate::app::App;
use crate::client_network::ClientNetwork;
use crate::error::Error;
use crate::model::AccessToken;
use crate::store::log_ins;
use crate::tokens;

/// Issues a token if the password is right.
pub(crate) async fn log_in(
    app: &App,
    username: String,
    password: String,
    client: ClientNetwork,
) -> Result<AccessToken, Error> {
    let account = Account::from_username(username);
    let verified = verify_password(app, &account, password, client).await?;
    let Verified { credentials: user, renewed_hash } = verified;
    let mut conn = app.pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    let hash = renewed_hash.as_deref();
    if !log_ins::confirm(&mut transaction, account.key, &user, hash, client).await? {
        return Err(Error::InvalidCredentials);
    }
    transaction.commit().await?;

    let now = app.clock.now();
    let access = app.access.borrow().clone();
    let key = access.keys.signing_key(now).ok_or(Error::NoSigningKey)?;
    tokens::issue(&app.tokens, key, user.user_id, &user.username, now)
}
