//! Replacing the signing key.

use std::time::Duration;

use parlance_core::Clock;
use sqlx::{Connection, PgPool};

use crate::error::Error;
use crate::keys;
use crate::model::Rotation;
use crate::store::signing_keys;

/// Publishes a new key, which signs after `publication_lead`. The old key stays published until the
/// tokens it has signed by then expire. `None` if another rotation ran at the same moment.
pub(crate) async fn rotate_keys(
    pool: &PgPool,
    clock: &Clock,
    publication_lead: Duration,
    token_ttl: Duration,
) -> Result<Option<Rotation>, Error> {
    let now = clock.now();
    let signs_from = now.after(publication_lead);
    let old_key_retires_at = signs_from.after(token_ttl);
    let key = keys::generate(now, signs_from)?;

    let mut conn = pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    signing_keys::retire_newest(&mut transaction, old_key_retires_at).await?;
    if !signing_keys::insert_newest(&mut transaction, &key).await? {
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(Rotation { kid: key.kid, signs_from, old_key_retires_at }))
}
