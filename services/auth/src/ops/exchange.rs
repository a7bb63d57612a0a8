//! Exchanging the token of a trusted issuer for a session.

use parlance_core::Username;

use super::begin_session::{Wanted, begin_session};
use super::provision::provision;
use super::verify_password::Verified;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::issuers::{Identity, Refusal};
use crate::model::{Credentials, IdentityAccount, Tokens, User};
use crate::store::identities;

/// How often the account is read again that changed while its session began.
const MAX_TRIES: usize = 3;

/// A client's wish.
pub(crate) struct Exchange {
    pub(crate) token: String,
    /// The name of a new account.
    pub(crate) username: Option<String>,
    /// True if the client can refresh.
    pub(crate) refresh: bool,
}

/// Begins a session of the person whom the token names. At the first time, makes the account.
pub(crate) async fn exchange(
    app: &App,
    request: Exchange,
    client: &Client,
) -> Result<(Tokens, User), Error> {
    let username = request.username.map(Username::parse).transpose()?;
    let issuers = app.issuers.borrow().clone();
    let verified = issuers.verify(&request.token, app.clock.now()).await;
    let identity = verified.map_err(|refusal| refuse(app, None, refusal, client))?;
    let begun = begin(app, &identity, username.as_ref(), request.refresh, client).await;
    if let Err(error) = &begun {
        count_error(app, error);
    }
    begun
}

async fn begin(
    app: &App,
    identity: &Identity,
    username: Option<&Username>,
    refresh: bool,
    client: &Client,
) -> Result<(Tokens, User), Error> {
    let wanted = Wanted { refresh, session_ttl: identity.issuer.config.session_ttl };
    let mut outcome = "exchanged";
    for _ in 0..MAX_TRIES {
        let found = identities::find(&mut *app.pool.acquire().await?, identity).await?;
        let Some(account) = found else {
            provision(app, identity, username, client).await?;
            outcome = "account_made";
            continue;
        };
        if !account.user.is_active {
            break;
        }
        let (user, verified) = verified(account);
        if let Some(tokens) = begin_session(app, &verified, client, &wanted).await? {
            let (name, user_id) = (&identity.issuer.config.name, Some(user.id));
            app.exchange_metrics.count_exchange(outcome);
            audit::record_exchange(
                "exchange",
                name,
                None,
                user_id,
                Some(tokens.session_id),
                client,
            );
            return Ok((tokens, user));
        }
    }
    Err(refuse(app, Some(identity), Refusal::Inactive, client))
}

/// What begins a session. There is no password to compare, so `begin_session` compares the count.
fn verified(account: IdentityAccount) -> (User, Verified) {
    let IdentityAccount { user, end_all_count } = account;
    let credentials = Credentials {
        user_id: user.id,
        username: user.username.clone(),
        is_active: user.is_active,
        password_hash: None,
        end_all_count,
    };
    (user, Verified { account: None, credentials, renewed_hash: None })
}

/// Records why an identity is not accepted. The client learns only that it is not.
fn refuse(app: &App, identity: Option<&Identity>, refusal: Refusal, client: &Client) -> Error {
    app.exchange_metrics.count_exchange("refused");
    let issuer = identity.map_or("", |identity| &identity.issuer.config.name);
    audit::record_exchange("exchange_refused", issuer, Some(&refusal), None, None, client);
    Error::IdentityRefused(refusal)
}

/// A refusal has been counted where it was recorded. Other errors are no outcome of an exchange.
fn count_error(app: &App, error: &Error) {
    match error {
        Error::UsernameNeeded => app.exchange_metrics.count_exchange("username_needed"),
        Error::UsernameTaken => app.exchange_metrics.count_exchange("username_taken"),
        Error::RegistrationClosed => app.exchange_metrics.count_exchange("not_provisioned"),
        _ => (),
    }
}
