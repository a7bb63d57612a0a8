//! The invited user accepts an invitation.

use parlance_core::UserId;

use super::system_rooms::{self, CLAIM_TIMEOUT};
use crate::app::App;
use crate::error::Error;
use crate::model::{Contact, PairId};
use crate::store::{outbox, pairs};

/// Turns the invitation into a contact. The system room is made before this returns, or once the
/// rooms service can be reached.
pub(crate) async fn accept_invitation(
    app: &App,
    acting_user: UserId,
    id: PairId,
) -> Result<Contact, Error> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let Some(pair) = pairs::accept(&mut tx, id, acting_user, now, app.invitation_ttl).await? else {
        // Another request of this user may have accepted it just now.
        let pair = pairs::find_by_id(&mut tx, id).await?;
        tx.rollback().await?;
        system_rooms::make_missing(app, &pair).await;
        return Err(Error::InvitationNotFound);
    };
    let entry = outbox::insert(&mut tx, pair.users, CLAIM_TIMEOUT).await?;
    tx.commit().await?;
    system_rooms::try_now(app, &[entry]).await;
    Ok(Contact { id: pair.id, other: pair.inviter, created_at: now })
}
