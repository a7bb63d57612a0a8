//! Replacing the signing key.

use std::time::Duration;

use parlance_core::{Clock, Timestamp};
use parlance_runtime::postgres::Pool;

use crate::error::Error;
use crate::keys;
use crate::model::Rotation;
use crate::store::signing_keys;

/// Publishes a new key, which signs after `publication_lead`. The old key stays published until the
/// tokens it has signed by then expire. `None` if another rotation ran at the same moment.
pub(crate) async fn rotate_keys(
    pool: &Pool,
    clock: &Clock,
    publication_lead: Duration,
    token_ttl: Duration,
) -> Result<Option<Rotation>, Error> {
    let now = clock.now();
    let signs_from = after(now, publication_lead);
    let old_key_retires_at = after(signs_from, token_ttl);
    let key = keys::generate(now, signs_from)?;

    let mut transaction = pool.begin().await?;
    signing_keys::retire_newest(&mut transaction, old_key_retires_at).await?;
    if !signing_keys::insert_newest(&mut transaction, &key).await? {
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(Rotation { kid: key.kid, signs_from, old_key_retires_at }))
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}
