//! The table `auth.signing_keys`.

use parlance_core::Timestamp;
use sqlx::PgConnection;

/// A row of the table, as the migration describes it.
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) private_key: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) created_at: Timestamp,
    pub(crate) signs_from: Timestamp,
    pub(crate) retires_at: Option<Timestamp>,
}

/// Returns all keys, in the order in which they sign.
pub(crate) async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as!(
        KeyRow,
        "SELECT
            kid,
            private_key,
            public_key,
            created_at,
            signs_from,
            retires_at
        FROM auth.signing_keys
        ORDER BY signs_from, kid"
    )
    .fetch_all(conn)
    .await
}

/// Adds a key without a successor. False if there is such a key.
pub(crate) async fn insert_newest(conn: &mut PgConnection, key: &KeyRow) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO auth.signing_keys (kid, private_key, public_key, created_at, signs_from)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING",
        key.kid,
        key.private_key,
        key.public_key,
        key.created_at,
        key.signs_from
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Sets when the key without a successor retires, if there is such a key.
pub(crate) async fn retire_newest(
    conn: &mut PgConnection,
    retires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE auth.signing_keys SET retires_at = $1 WHERE retires_at IS NULL",
        retires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the keys whose tokens have all expired.
pub(crate) async fn delete_retired(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM auth.signing_keys WHERE retires_at <= $1", now).execute(conn).await?;
    Ok(())
}

/// Makes a key the only one, which signs from now on. False, without a change, if it is gone.
pub(crate) async fn keep_only(
    conn: &mut PgConnection,
    kid: &str,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "DELETE FROM auth.signing_keys
        WHERE kid <> $1 AND EXISTS (SELECT FROM auth.signing_keys WHERE kid = $1)",
        kid
    )
    .execute(&mut *conn)
    .await?;
    let kept = sqlx::query!(
        "UPDATE auth.signing_keys SET signs_from = $2, retires_at = NULL WHERE kid = $1",
        kid,
        now
    )
    .execute(conn)
    .await?;
    Ok(kept.rows_affected() == 1)
}
