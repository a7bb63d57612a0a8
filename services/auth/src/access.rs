//! What decides whether a token is accepted, in memory. `background::refresh_access` keeps it
//! fresh.

use std::sync::Arc;

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::error::Error;
use crate::keys::KeyRing;
use crate::model::{AccessState, Revisions};
use crate::profile_changes::ProfileChanges;
use crate::store;

/// All keys and inactive users as of one revision. What has ended is in the `EndedLog`. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) revisions: Revisions,
    /// When the read of the database began that found this state.
    pub(crate) confirmed_at: Instant,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) inactive_user_ids: Arc<[UserId]>,
    /// The changes of profiles since the first load.
    pub(crate) profiles: Arc<ProfileChanges>,
}

impl Access {
    /// Reads everything. The revisions are read first: a change that commits between the statements
    /// is then read once more, not missed.
    pub(crate) async fn load(conn: &mut PgConnection) -> Result<Self, Error> {
        let confirmed_at = Instant::now();
        let revisions = store::access_revision::get(conn).await?;
        Self::load_as_of(conn, revisions, confirmed_at).await
    }

    /// The same with revisions that were read before, in a read that began at this time.
    pub(crate) async fn load_as_of(
        conn: &mut PgConnection,
        revisions: Revisions,
        confirmed_at: Instant,
    ) -> Result<Self, Error> {
        let keys = KeyRing::new(store::signing_keys::list(conn).await?);
        let inactive_user_ids = store::users::list_inactive_ids(conn).await?;
        Ok(Self {
            revisions,
            confirmed_at,
            keys: Arc::new(keys),
            inactive_user_ids: inactive_user_ids.into(),
            profiles: Arc::new(ProfileChanges::since(revisions.profiles)),
        })
    }

    /// Returns what verifiers of tokens have to know at this time.
    pub(crate) fn state(&self, now: Timestamp) -> AccessState {
        AccessState {
            keys: self.keys.published(now),
            inactive_user_ids: self.inactive_user_ids.to_vec(),
        }
    }
}
