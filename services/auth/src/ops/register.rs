//! Making an account.

use parlance_core::{Password, Username};

use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::config::Registration;
use crate::error::Error;
use crate::model::{NewUser, User};
use crate::store::users;

/// Makes an account. No connection is held while the password is hashed.
pub(crate) async fn register(
    app: &App,
    username: String,
    password: String,
    client: &Client,
) -> Result<User, Error> {
    let username = Username::parse(username)?;
    let password = Password::parse(password)?;
    let folded_username = username.folded();
    app.password_rules.check(&password, &folded_username)?;
    if app.registration == Registration::Closed {
        return Err(Error::RegistrationClosed);
    }
    // Saves the hash in the common case. The constraint decides races for a name.
    if users::is_taken(&mut *app.pool.acquire().await?, &folded_username).await? {
        return Err(Error::UsernameTaken);
    }

    let password_hash = app.passwords.hash(password, client.network).await?;
    let new_user = NewUser {
        username: username.as_str(),
        folded_username: &folded_username,
        password_hash: Some(&password_hash),
        created_at: app.clock.now(),
    };
    let inserted =
        users::insert(&mut *app.pool.acquire().await?, &new_user, Some(client.network)).await;
    let user = inserted.map_err(from_insert_error)?;
    audit::record("registered", Some(user.id), None, client);
    Ok(user)
}

fn from_insert_error(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some(users::FOLDED_USERNAME_KEY) { Error::UsernameTaken } else { error.into() }
}
