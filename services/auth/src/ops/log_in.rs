//! Checking a password and beginning a session.

use super::begin_session::{Wanted, begin_session};
use super::verify_password::verify_password;
use crate::account::Account;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::Tokens;

/// Begins a session if the password is right.
pub(crate) async fn log_in(
    app: &App,
    username: String,
    password: String,
    client: &Client,
    refresh: bool,
) -> Result<Tokens, Error> {
    let account = Account::from_username(username);
    let verified = verify_password(app, account, password, client, "log_in_failed").await?;
    let wanted = Wanted { refresh, session_ttl: app.sessions.session_ttl };
    let tokens = begin_session(app, &verified, client, &wanted).await?;
    let tokens = tokens.ok_or(Error::InvalidCredentials)?;
    audit::record("log_in", Some(verified.credentials.user_id), Some(tokens.session_id), client);
    Ok(tokens)
}
