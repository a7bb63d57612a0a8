//! What decides whether a token is accepted, in memory. `background::refresh_access` keeps it
//! fresh.

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::keys::KeyRing;
use crate::model::AccessState;
use crate::store;

/// All keys and inactive users as of one revision.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) revision: i64,
    pub(crate) keys: KeyRing,
    inactive_user_ids: Vec<UserId>,
}

impl Access {
    /// Reads everything. The revision is read first: a change that commits between the statements
    /// is then read once more, not missed.
    pub(crate) async fn load(conn: &mut PgConnection) -> Result<Self, Error> {
        let revision = store::access_revision::get(conn).await?;
        let keys = KeyRing::new(store::signing_keys::list(conn).await?);
        let inactive_user_ids = store::users::list_inactive_ids(conn).await?;
        Ok(Self { revision, keys, inactive_user_ids })
    }

    /// Returns what verifiers of tokens have to know at this time.
    pub(crate) fn state(&self, now: Timestamp) -> AccessState {
        AccessState {
            keys: self.keys.published(now),
            inactive_user_ids: self.inactive_user_ids.clone(),
        }
    }
}
