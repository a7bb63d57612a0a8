//! The table `auth.known_networks`. Registrations and log-ins add to it in their own statements.

use sqlx::PgConnection;

/// Deletes networks that were not used for 30 days: the oldest, at most `limit`. Returns how many
/// it deleted.
pub(crate) async fn purge(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.known_networks
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM auth.known_networks
            WHERE last_used_at <= now() - INTERVAL '30 days'
            ORDER BY last_used_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        ))",
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
