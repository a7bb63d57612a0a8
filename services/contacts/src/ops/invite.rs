//! A user invites another user.

use parlance_core::UserId;

use super::system_rooms::{self, CLAIM_TIMEOUT};
use crate::app::App;
use crate::error::Error;
use crate::model::{Invitation, Pair, UserPair};
use crate::store::{outbox, pairs};

/// How often the invitation is tried when the pair changes between two statements.
const MAX_ATTEMPTS: usize = 5;

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
    let mut tx = app.pool.begin().await?;
    let pair = pairs::invite_or_accept(&mut tx, users, acting_user, app.clock.now()).await?;
    let entry = match pair {
        Some(pair) if pair.is_contacts() => {
            Some(outbox::insert(&mut tx, users, CLAIM_TIMEOUT).await?)
        }
        _ => None,
    };
    tx.commit().await?;
    if let Some(entry) = entry {
        system_rooms::try_now(app, &[entry]).await;
    }
    Ok(pair)
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
