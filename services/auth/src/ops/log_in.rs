//! Checking a password and beginning a session.

use parlance_core::{Password, Username};

use super::begin_session::begin_session;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::{Credentials, Tokens};
use crate::store::users;

/// Begins a session if the password is right. Every refusal costs one look-up and one hash, so that
/// the time of the answer does not reveal whether the user exists.
pub(crate) async fn log_in(
    app: &App,
    username: String,
    password: String,
    client: &Client,
    refresh: bool,
) -> Result<Tokens, Error> {
    let credentials = find_credentials(app, username).await?;
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
    let password = Password::parse(password).ok();
    let is_right = app.passwords.matches(password, stored_hash, client.network).await?;

    let Some(user) = credentials.filter(|user| is_right && user.is_active) else {
        return Err(Error::InvalidCredentials);
    };
    let tokens = begin_session(app, &user, client, refresh).await?;
    audit::record("log_in", Some(user.user_id), Some(tokens.session_id), client);
    Ok(tokens)
}

/// Looks the name up. A name that breaks the rules is looked up as the empty name, which no user
/// has, so that the refusal takes as long as any other.
async fn find_credentials(app: &App, username: String) -> Result<Option<Credentials>, Error> {
    let folded_username =
        Username::parse(username).map_or_else(|_| String::new(), |name| name.folded());
    Ok(users::find_credentials(&mut *app.pool.acquire().await?, &folded_username).await?)
}
