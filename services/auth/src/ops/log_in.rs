//! Checking a password and issuing a token.

use parlance_core::{Password, Username};

use crate::app::App;
use crate::error::Error;
use crate::model::{AccessToken, Credentials};
use crate::store::users;
use crate::tokens;

/// Issues a token if the password is right. Whatever is wrong, finding out costs one look-up and
/// one hash.
pub(crate) async fn log_in(
    app: &App,
    username: String,
    password: String,
) -> Result<AccessToken, Error> {
    let credentials = find_credentials(app, username).await?;
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
    let password = Password::parse(password).ok();
    let is_right = app.passwords.matches(password, stored_hash).await?;

    let Some(user) = credentials.filter(|user| is_right && user.is_active) else {
        return Err(Error::InvalidCredentials);
    };
    let now = app.clock.now();
    let access = app.access.borrow().clone();
    let key = access.keys.signing_key(now).ok_or(Error::NoSigningKey)?;
    tokens::issue(&app.tokens, key, user.user_id, &user.username, now)
}

/// A name that no user can have is looked up, too, so that it takes as long as any other; no folded
/// name is empty.
async fn find_credentials(app: &App, username: String) -> Result<Option<Credentials>, Error> {
    let folded_username =
        Username::parse(username).map_or_else(|_| String::new(), |name| name.folded());
    Ok(users::find_credentials(&mut *app.pool.acquire().await?, &folded_username).await?)
}
