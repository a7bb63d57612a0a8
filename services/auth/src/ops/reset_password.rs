//! Replacing the password by a code that an operator has issued.

use parlance_core::Password;

use crate::account::Account;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::refresh_token::TokenHash;
use crate::store::{log_in_failures, reset_codes, sessions, users};

/// Replaces the password, ends all sessions and tokens of the user, and uses the code up.
pub(crate) async fn reset_password(
    app: &App,
    code: &str,
    new_password: String,
    client: &Client,
) -> Result<(), Error> {
    let new_password = Password::parse(new_password)?;
    app.password_rules.check_alone(&new_password)?;
    let code = TokenHash::of(code);
    let found = reset_codes::find_user(&mut *app.pool.acquire().await?, &code).await?;
    let Some((user_id, folded_name)) = found else {
        audit::record_refusal("password_reset_failed", "invalid_code", None, client);
        return Err(Error::ResetCodeInvalid);
    };
    app.password_rules.check(&new_password, &folded_name)?;
    let account = Account::from_folded_username(folded_name).key;
    let hash = app.passwords.hash(new_password, client.network).await?;

    let now = app.clock.now();
    let tokens_expire_at = now.after(app.tokens.ttl.access_token_ttl);
    let mut transaction = app.pool.begin().await?;
    // First, because everything takes the lock of the user's row first.
    users::set_password(&mut transaction, user_id, &hash).await?;
    if !reset_codes::take(&mut transaction, &code).await? {
        return Err(Error::ResetCodeInvalid);
    }
    let ended = sessions::end_all(&mut transaction, user_id, None, now, tokens_expire_at).await?;
    log_in_failures::clear(&mut transaction, account, client.network).await?;
    transaction.commit().await?;
    app.session_metrics.count_ended("password_reset", ended.len());
    audit::record("password_reset", Some(user_id), None, client);
    Ok(())
}
