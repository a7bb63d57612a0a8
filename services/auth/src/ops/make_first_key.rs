//! Making the first signing key.

use parlance_core::Clock;
use parlance_runtime::postgres::Pool;

use crate::error::Error;
use crate::keys;
use crate::store::signing_keys;

/// Makes a key that signs at once, unless there is a key. Of several replicas that start together,
/// one succeeds.
pub(crate) async fn make_first_key(pool: &Pool, clock: &Clock) -> Result<(), Error> {
    let now = clock.now();
    let key = keys::generate(now, now)?;
    if signing_keys::insert_newest(&mut *pool.acquire().await?, &key).await? {
        tracing::info!(key.id = key.kid, "first signing key made");
    }
    Ok(())
}
