//! The inviting user takes an invitation back.

use parlance_core::UserId;

use crate::app::App;
use crate::error::Error;
use crate::model::PairId;
use crate::store::pairs;

/// Removes the invitation. The inviter may invite again.
pub(crate) async fn withdraw_invitation(
    app: &App,
    acting_user: UserId,
    id: PairId,
) -> Result<(), Error> {
    let mut conn = app.pool.acquire().await?;
    let is_withdrawn = pairs::withdraw(&mut conn, id, acting_user, app.invitation_ttl).await?;
    if is_withdrawn { Ok(()) } else { Err(Error::InvitationNotFound) }
}
