//! Following the state that decides whether a token is accepted.

use std::time::Duration;

use crate::access_updates::AccessUpdates;
use crate::app::App;
use crate::error::Error;

/// A state that the database has not confirmed for so long is not passed on as the newest.
const MAX_AGE: Duration = Duration::from_secs(2);

/// Returns the updates for a verifier. A replica that cannot read its database refuses one that
/// relies on confirmations, which another replica may give.
pub(crate) fn watch_access_state(app: &App, is_incremental: bool) -> Result<AccessUpdates, Error> {
    if is_incremental && app.access.borrow().confirmed_at.elapsed() > MAX_AGE {
        return Err(Error::DatabaseTimeout);
    }
    let (access, ended) = (app.access.clone(), app.ended.clone());
    Ok(AccessUpdates::new(access, ended, app.clock.clone(), is_incremental))
}
