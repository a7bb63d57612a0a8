//! An invited user accepts.

use parlance_core::UserId;

use super::make_system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::{Contact, PairId};
use crate::store::pairs;

/// Turns the invitation into a contact. Their system room is made before this answers, or as soon
/// as the rooms service is back.
pub(crate) async fn accept_invitation(
    app: &App,
    acting_user: UserId,
    id: PairId,
) -> Result<Contact, Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let Some(pair) = pairs::accept(&mut tx, id, acting_user, now).await? else {
        // It may have been accepted just now, by the same user somewhere else.
        let pair = pairs::find_by_id(&mut tx, id).await?;
        tx.rollback().await?;
        make_system_rooms::before_telling(app, &pair).await;
        return Err(Error::InvitationNotFound);
    };
    let wanted_room = make_system_rooms::announce(&mut tx, pair.users).await?;
    tx.commit().await?;
    make_system_rooms::try_at_once(app, &[wanted_room]).await;
    Ok(Contact { id: pair.id, other: pair.inviter, created_at: now })
}
