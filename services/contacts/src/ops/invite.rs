//! A user invites another.

use parlance_core::UserId;

use super::make_system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::{Invitation, Pair, State, UserPair};
use crate::store::pairs;

/// How often it is looked again when the pair changed between two statements.
const MAX_ATTEMPTS: usize = 5;

/// Makes an invitation. If the other one has invited before, accepts and returns that invitation.
pub(crate) async fn invite(
    app: &App,
    acting_user: UserId,
    invited: UserId,
) -> Result<Invitation, Error> {
    let users = UserPair::of(acting_user, invited).ok_or(Error::SelfInvitation)?;
    for _ in 0..MAX_ATTEMPTS {
        if let Some(pair) = invite_or_accept(app, users, acting_user).await? {
            return Ok(pair.invitation());
        }
        if let Some(refusal) = reason_to_refuse(app, users, acting_user).await? {
            return Err(refusal);
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
    let wanted_room = match pair {
        Some(Pair { state: State::Contacts { .. }, .. }) => {
            Some(make_system_rooms::announce(&mut tx, users).await?)
        }
        _ => None,
    };
    tx.commit().await?;
    if let Some(wanted_room) = wanted_room {
        make_system_rooms::try_at_once(app, &[wanted_room]).await;
    }
    Ok(pair)
}

/// Why there was nothing to do. Nothing again when that has changed meanwhile: the pair was
/// rejected, or invited the other way round.
async fn reason_to_refuse(
    app: &App,
    users: UserPair,
    acting_user: UserId,
) -> Result<Option<Error>, Error> {
    let mut conn = app.pool.acquire().await?;
    let pair = pairs::find(&mut conn, users).await?;
    drop(conn);
    make_system_rooms::before_telling(app, &pair).await;
    Ok(match pair {
        Some(Pair { state: State::Contacts { .. }, .. }) => Some(Error::AlreadyContacts),
        Some(Pair { inviter, .. }) if inviter == acting_user => Some(Error::AlreadyInvited),
        _ => None,
    })
}
