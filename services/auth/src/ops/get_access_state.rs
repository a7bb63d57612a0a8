//! The state that decides whether a token is accepted.

use crate::access::Access;
use crate::app::App;
use crate::error::Error;
use crate::model::AccessState;

/// The state as the database has it now, not as this replica last saw it.
pub(crate) async fn get_access_state(app: &App) -> Result<AccessState, Error> {
    let access = Access::load(&mut *app.pool.acquire().await?).await?;
    Ok(access.state(app.clock.now()))
}
