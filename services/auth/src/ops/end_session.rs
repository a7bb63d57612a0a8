//! Ending one session of a user.

use parlance_core::{SessionId, UserId};

use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::store::sessions;

/// Ends a live session that belongs to the user.
pub(crate) async fn end_session(
    app: &App,
    user_id: UserId,
    session_id: SessionId,
    client: &Client,
) -> Result<(), Error> {
    if !sessions::end(&mut *app.pool.acquire().await?, user_id, session_id).await? {
        return Err(Error::SessionNotFound);
    }
    app.session_metrics.count_ended("revoked", 1);
    audit::record("session_revoked", Some(user_id), Some(session_id), client);
    Ok(())
}
