//! A user looks at their invitations and contacts.

use parlance_core::UserId;

use super::make_system_rooms;
use crate::app::App;
use crate::error::Error;
use crate::model::{Contact, Overview, State};
use crate::store::pairs;

/// Everything that the user has; one statement however much it is.
pub(crate) async fn list_contacts(app: &App, acting_user: UserId) -> Result<Overview, Error> {
    let mut conn = app.pool.acquire().await?;
    let pairs = pairs::list(&mut conn, acting_user).await?;
    drop(conn);
    make_system_rooms::before_telling(app, &pairs).await;

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
