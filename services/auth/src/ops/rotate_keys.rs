//! Replacing the signing key.

use std::time::Duration;

use parlance_core::{Clock, Timestamp};
use sqlx::{Connection, PgPool};

use crate::error::Error;
use crate::keys;
use crate::model::Rotation;
use crate::store::{access_revision, signing_keys};

/// When the new key would sign, beyond the publication lead, if the command that replaces leaked
/// ones were killed halfway. Until the command has ended all sessions no replica may sign with it,
/// so this is more than clocks differ by.
const TAKE_OVER: Duration = Duration::from_secs(3600);
/// How long the new key is published before the leaked ones go: enough for every gateway whose
/// stream from auth is open. Others fetch the keys when they meet an unknown one.
const MAX_ANNOUNCEMENT: Duration = Duration::from_secs(2);

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
    publish(pool, now, signs_from, signs_from.after(token_ttl)).await
}

/// Replaces all keys at once, which ends every session: publishes a new key, and after a part of
/// `publication_lead` makes it the only one. `None` if another rotation ran at the same moment.
pub(crate) async fn rotate_leaked_keys(
    pool: &PgPool,
    clock: &Clock,
    publication_lead: Duration,
    token_ttl: Duration,
) -> Result<Option<Rotation>, Error> {
    let now = clock.now();
    let signs_from = now.after(publication_lead).after(TAKE_OVER);
    let rotation = publish(pool, now, signs_from, signs_from.after(token_ttl)).await?;
    let Some(Rotation { kid, .. }) = rotation else {
        return Ok(None);
    };
    tokio::time::sleep(MAX_ANNOUNCEMENT.min(publication_lead / 4)).await;

    let signs_from = clock.now();
    let mut conn = pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    access_revision::lock(&mut transaction).await?;
    if !signing_keys::keep_only(&mut transaction, &kid, signs_from).await? {
        return Ok(None);
    }
    access_revision::begin_session_generation(&mut transaction).await?;
    transaction.commit().await?;
    Ok(Some(Rotation { kid, signs_from, old_key_retires_at: signs_from }))
}

async fn publish(
    pool: &PgPool,
    now: Timestamp,
    signs_from: Timestamp,
    old_key_retires_at: Timestamp,
) -> Result<Option<Rotation>, Error> {
    let key = keys::generate(now, signs_from)?;
    let mut conn = pool.acquire().await?;
    let mut transaction = conn.begin().await?;
    // Every change of keys takes this lock in the end, and so first.
    access_revision::lock(&mut transaction).await?;
    signing_keys::retire_newest(&mut transaction, old_key_retires_at).await?;
    if !signing_keys::insert_newest(&mut transaction, &key).await? {
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(Rotation { kid: key.kid, signs_from, old_key_retires_at }))
}
