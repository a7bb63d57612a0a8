//! Ending all sessions of a user but the caller's.

use sqlx::Connection;

use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::CallerToken;
use crate::store::sessions;

/// Ends all sessions but that of the caller's token, and all tokens without a session: the caller's
/// own, too, if it has none.
pub(crate) async fn end_other_sessions(
    app: &App,
    caller: &CallerToken,
    client: &Client,
) -> Result<(), Error> {
    let now = app.clock.now();
    let tokens_expire_at = now.after(app.tokens.ttl.access_token_ttl);
    let (user_id, except) = (caller.user_id, caller.session_id);
    let mut conn = app.pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    let ended = sessions::end_all(&mut transaction, user_id, except, now, tokens_expire_at).await?;
    transaction.commit().await?;
    app.session_metrics.count_ended("revoked", ended.len());
    for session_id in ended {
        audit::record("session_revoked", Some(user_id), Some(session_id), client);
    }
    Ok(())
}
