//! The invited user rejects an invitation.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::PairId;
use crate::store::pairs;

/// Removes the invitation. The inviter may invite again.
pub(crate) async fn reject_invitation(
    app: &App,
    acting_user: UserId,
    id: PairId,
) -> Result<(), Error> {
    let mut conn = app.pool.acquire().await?;
    let is_rejected = pairs::reject(&mut conn, id, acting_user, app.invitation_ttl).await?;
    if is_rejected { Ok(()) } else { Err(Error::InvitationNotFound) }
}
