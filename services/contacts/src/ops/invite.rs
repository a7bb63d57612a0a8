//! A user invites another user.

use std::time::Duration;

use parlance_core::UserId;
use parlance_runtime::postgres::Transaction;
use tokio::time::{sleep, timeout};

use super::system_rooms::{self, CLAIM_TIMEOUT};
use crate::app::App;
use crate::error::Error;
use crate::model::{Invitation, Pair, UserPair};
use crate::store::{outbox, pairs};

/// How often the invitation is tried when the pair changes between two statements.
const MAX_ATTEMPTS: usize = 5;
/// More invitations than all replicas together make at once, because each takes a connection to the
/// database. Only closer to the limit than this do the invitations of a user wait for each other.
const MAX_AT_ONCE: i64 = 500;
/// How long an invitation waits for others of the same user, and how often it tries the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Makes an invitation. If the other user has invited before, accepts and returns that invitation.
pub(crate) async fn invite(
    app: &App,
    acting_user: UserId,
    invited: UserId,
) -> Result<Invitation, Error> {
    let users = UserPair::new(acting_user, invited).ok_or(Error::SelfInvitation)?;
    for _ in 0..MAX_ATTEMPTS {
        if let Some(pair) = invite_or_accept(app, users, acting_user).await? {
            return Ok(pair.invitation());
        }
        if let Some(error) = refusal_reason(app, users, acting_user).await? {
            return Err(error);
        }
    }
    Err(Error::Contention)
}

async fn invite_or_accept(
    app: &App,
    users: UserPair,
    acting_user: UserId,
) -> Result<Option<Pair>, Error> {
    let (now, ttl) = (app.clock.now(), app.invitation_ttl);
    let max = i64::from(app.max_open_invitations);
    let begun = timeout(LOCK_TIMEOUT, begin(app, users, acting_user)).await;
    let (mut tx, is_near_limit) = begun.map_err(|_| Error::Contention)??;
    let pair = pairs::invite_or_accept(&mut tx, users, acting_user, now, ttl).await?;
    let entry = match pair {
        Some(pair) if pair.is_contacts() => {
            Some(outbox::insert(&mut tx, users, CLAIM_TIMEOUT).await?)
        }
        Some(_) if is_near_limit => {
            if pairs::count_sent(&mut tx, acting_user, ttl, max + 1).await? > max {
                return Err(Error::TooManyInvitations);
            }
            None
        }
        _ => None,
    };
    tx.commit().await?;
    if let Some(entry) = entry {
        system_rooms::try_now(app, &[entry]).await;
    }
    Ok(pair)
}

/// Begins a transaction. Near the limit, it locks the number of invitations of the user: the second
/// result is true. No connection is held while another transaction has the lock.
async fn begin(
    app: &App,
    users: UserPair,
    acting_user: UserId,
) -> Result<(Transaction, bool), Error> {
    let max = i64::from(app.max_open_invitations);
    loop {
        let mut tx = app.pool.begin().await?;
        let sent = pairs::count_sent(&mut tx, acting_user, app.invitation_ttl, max).await?;
        if sent < max - MAX_AT_ONCE {
            return Ok((tx, false));
        }
        // The lock is not needed to refuse, however often a user at the limit tries again.
        if sent == max && pairs::find(&mut tx, users).await?.is_none() {
            return Err(Error::TooManyInvitations);
        }
        if pairs::try_lock_invitations(&mut tx, acting_user).await? {
            return Ok((tx, true));
        }
        tx.rollback().await?;
        sleep(LOCK_INTERVAL).await;
    }
}

/// Returns why the pair could not be changed. `None` if that reason is gone: meanwhile the
/// invitation was rejected, or the other user has invited.
async fn refusal_reason(
    app: &App,
    users: UserPair,
    acting_user: UserId,
) -> Result<Option<Error>, Error> {
    let pair = pairs::find(&mut *app.pool.acquire().await?, users).await?;
    system_rooms::make_missing(app, &pair).await;
    Ok(match pair {
        Some(pair) if pair.is_contacts() => Some(Error::AlreadyContacts),
        Some(pair) if pair.inviter == acting_user => Some(Error::AlreadyInvited),
        _ => None,
    })
}
