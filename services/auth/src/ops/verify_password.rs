//! Checking the password of an account, with the limits on guessing.

use std::sync::Arc;

use parlance_core::{Password, UserId};
use sqlx::PgConnection;

use crate::account::{Account, AccountKey};
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::guessing::{FREE_FAILURES, FailureReason, Failures};
use crate::model::Credentials;
use crate::passwords::{Compared, Comparison};
use crate::store::log_in_failures;
use crate::store::log_ins::{self, Attempt};

/// An account whose password was right, or for whose user an issuer vouches.
pub(super) struct Verified {
    /// `None` if there was no password to guess.
    pub(super) account: Option<AccountKey>,
    pub(super) credentials: Credentials,
    /// The hash to store instead of the present one, if that has another cost than new ones.
    pub(super) renewed_hash: Option<String>,
}

/// Returns the account if the password is right and the account active. Every failure costs the
/// same statements and the same work, so that its time does not reveal whether the user exists. The
/// audit log calls a failure `failed_event`.
///
/// Only a few tries of an account are between its look-up and its answer at a time. With many in
/// parallel, all of them would be decided by the failures before the first.
pub(super) async fn verify_password(
    app: &App,
    account: Account,
    password: String,
    client: &Client,
    failed_event: &'static str,
) -> Result<Verified, Error> {
    let turn = Arc::new(app.guessing.turn(account.key, client.network).await?);
    let attempt = begin(app, &account, client, failed_event).await?;
    let failure = Failure::of(attempt.credentials.as_ref(), failed_event);
    let active = attempt.credentials.filter(|user| user.is_active);
    let comparison = Comparison {
        password: Password::parse(password).ok(),
        stored_hash: active.as_ref().and_then(|user| user.password_hash.clone()),
        highest_cost: attempt.highest_cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
    };
    let compared = app.passwords.compare(comparison, client.network, turn.clone()).await?;
    match (active, compared) {
        (Some(credentials), Compared::Equal { renewed_hash }) => {
            Ok(Verified { account: Some(account.key), credentials, renewed_hash })
        }
        _ => {
            count_failure(app, account.key, client, failure).await?;
            Err(Error::InvalidCredentials)
        }
    }
}

/// Looks the account up, and refuses a try that comes too early.
async fn begin(
    app: &App,
    account: &Account,
    client: &Client,
    failed_event: &'static str,
) -> Result<Attempt, Error> {
    let mut conn = app.pool.acquire().await?;
    let attempt = log_ins::begin(&mut conn, account, client.network).await?;
    let checked = check_waits(app, &mut conn, account.key, client, &attempt).await;
    if matches!(checked, Err(Error::TooManyFailures { .. })) {
        let user_id = attempt.credentials.as_ref().map(|user| user.user_id);
        audit::record_refusal(failed_event, "wait", user_id, client);
    }
    checked.map(|()| attempt)
}

/// Checks that the try does not come too early after the failures of its network, nor after those
/// of its account unless the user knows the network. Of several tries that are due at the same time
/// one passes.
async fn check_waits(
    app: &App,
    conn: &mut PgConnection,
    account: AccountKey,
    client: &Client,
    attempt: &Attempt,
) -> Result<(), Error> {
    let of_account = attempt.account_failures.filter(|_| !attempt.is_known_network);
    let of_network = attempt.network_failures;
    let waits = [of_account, of_network].into_iter().flatten();
    if let Some(wait) = waits.filter_map(|failures| failures.remaining_wait()).max() {
        return Err(app.guessing.refuse_for(wait));
    }
    let is_limiting = |failures: &Failures| failures.is_limiting();
    let due = match (of_account.filter(is_limiting), of_network.filter(is_limiting)) {
        (Some(failures), _) => Some((None, failures)),
        (None, Some(failures)) => Some((Some(client.network), failures)),
        (None, None) => None,
    };
    if let Some((network, failures)) = due
        && !log_in_failures::claim_try(conn, account, network, failures).await?
    {
        return Err(app.guessing.refuse_for(failures.wait()));
    }
    Ok(())
}

/// A failed try, as operators see it.
struct Failure {
    event: &'static str,
    reason: FailureReason,
    user_id: Option<UserId>,
}

impl Failure {
    /// The failure of a try whose password does not match.
    fn of(credentials: Option<&Credentials>, event: &'static str) -> Self {
        let reason = match credentials {
            None => FailureReason::UnknownUser,
            Some(user) if !user.is_active => FailureReason::Inactive,
            Some(user) if user.password_hash.is_none() => FailureReason::NoPassword,
            Some(_) => FailureReason::WrongPassword,
        };
        Self { event, reason, user_id: credentials.map(|user| user.user_id) }
    }
}

async fn count_failure(
    app: &App,
    account: AccountKey,
    client: &Client,
    failure: Failure,
) -> Result<(), Error> {
    let Failure { event, reason, user_id } = failure;
    app.guessing.count_failure(reason);
    audit::record_refusal(event, reason.name(), user_id, client);
    let mut conn = app.pool.acquire().await?;
    let failures = log_in_failures::add(&mut conn, account, client.network).await?;
    if failures == FREE_FAILURES {
        audit::record("account_locked", user_id, None, client);
    }
    Ok(())
}
