//! Reading the state that decides whether a token is accepted.

use crate::access::Access;
use crate::app::App;
use crate::error::Error;
use crate::model::AccessState;

/// Returns the state from the database, which may be newer than the state in memory.
pub(crate) async fn get_access_state(app: &App) -> Result<AccessState, Error> {
    let access = Access::load(&mut *app.pool.acquire().await?).await?;
    Ok(access.state(app.clock.now()))
}
