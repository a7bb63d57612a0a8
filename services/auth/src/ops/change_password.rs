//! Replacing the password, by the user.

use parlance_core::Password;

use super::verify_password::verify_password;
use crate::account::{Account, AccountKey};
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::{CallerToken, Credentials};
use crate::store::{log_in_failures, reset_codes, sessions, users};

/// Replaces the password if the current one is right, which is checked as at a log-in, or if there
/// is none and the caller's session has just begun. Ends all other sessions of the user, and all
/// tokens without a session. Of two changes at the same time one fails.
pub(crate) async fn change_password(
    app: &App,
    caller: &CallerToken,
    current_password: Option<String>,
    new_password: String,
    client: &Client,
) -> Result<(), Error> {
    let new_password = Password::parse(new_password)?;
    let found = users::find_by_id(&mut *app.pool.acquire().await?, caller.user_id).await?;
    let (folded_name, credentials) = found.ok_or(Error::SessionRevoked)?;
    app.password_rules.check(&new_password, &folded_name)?;

    let account = Account::from_folded_username(folded_name);
    let key = account.key;
    let credentials = if credentials.password_hash.is_some() {
        let current = current_password.ok_or(Error::NoCurrentPassword)?;
        let event = "password_change_failed";
        let verified = verify_password(app, account, current, client, event).await;
        verified.map_err(wrong_password)?.credentials
    } else {
        check_just_begun(app, caller).await?;
        credentials
    };
    let hash = app.passwords.hash(new_password, client.network).await?;
    let changed = Change { account: key, credentials: &credentials, hash: &hash };
    store(app, caller, &changed, client).await
}

fn wrong_password(error: Error) -> Error {
    match error {
        Error::InvalidCredentials => Error::WrongPassword,
        error => error,
    }
}

/// Only a user who has just shown who they are may set a first password: with it a stolen token
/// would outlive its session.
async fn check_just_begun(app: &App, caller: &CallerToken) -> Result<(), Error> {
    let session_id = caller.session_id.ok_or(Error::LogInAgain)?;
    let mut conn = app.pool.acquire().await?;
    if !sessions::has_just_begun(&mut conn, caller.user_id, session_id).await? {
        return Err(Error::LogInAgain);
    }
    Ok(())
}

struct Change<'a> {
    account: AccountKey,
    /// What the current password was checked against.
    credentials: &'a Credentials,
    hash: &'a str,
}

async fn store(
    app: &App,
    caller: &CallerToken,
    change: &Change<'_>,
    client: &Client,
) -> Result<(), Error> {
    let now = app.clock.now();
    let tokens_expire_at = now.after(app.tokens.ttl.access_token_ttl);
    let (user_id, except) = (caller.user_id, caller.session_id);
    let mut transaction = app.pool.begin().await?;
    if !users::change_password(&mut transaction, change.credentials, change.hash).await? {
        return Err(Error::WrongPassword);
    }
    let ended = sessions::end_all(&mut transaction, user_id, except, now, tokens_expire_at).await?;
    reset_codes::delete(&mut transaction, user_id).await?;
    log_in_failures::clear(&mut transaction, change.account, client.network).await?;
    transaction.commit().await?;
    app.session_metrics.count_ended("password_changed", ended.len());
    audit::record("password_changed", Some(user_id), caller.session_id, client);
    Ok(())
}
