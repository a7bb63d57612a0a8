//! A user lists their invitations and contacts.

use parlance_core::UserId;

use super::system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::{Contact, Overview, State};
use crate::store::pairs;

/// Returns all invitations and contacts of the user, from one statement.
pub(crate) async fn list_contacts(app: &App, acting_user: UserId) -> Result<Overview, Error> {
    let pairs =
        pairs::list(&mut *app.pool.acquire().await?, acting_user, app.invitation_ttl).await?;
    system_rooms::make_missing(app, &pairs).await;

    let mut overview = Overview::default();
    for pair in pairs {
        match pair.state {
            State::Contacts { since, .. } => overview.contacts.push(Contact {
                id: pair.id,
                other: pair.users.other_than(acting_user),
                created_at: since,
            }),
            State::Invited if pair.inviter == acting_user => overview.sent.push(pair.invitation()),
            State::Invited => overview.received.push(pair.invitation()),
        }
    }
    Ok(overview)
}
