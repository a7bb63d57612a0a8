//! Logging out.

use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::CallerToken;
use crate::store::{ended_access, sessions};

/// Ends the session of the caller's token, or the token alone if it has none. What has ended stays
/// ended.
pub(crate) async fn log_out(app: &App, caller: &CallerToken, client: &Client) -> Result<(), Error> {
    let mut conn = app.pool.acquire().await?;
    match caller.session_id {
        Some(session_id) => {
            if sessions::end(&mut conn, caller.user_id, session_id).await? {
                app.session_metrics.count_ended("log_out", 1);
            }
        }
        None => {
            ended_access::insert_token(&mut conn, &caller.token_id, caller.expires_at).await?;
        }
    }
    audit::record("log_out", Some(caller.user_id), caller.session_id, client);
    Ok(())
}
