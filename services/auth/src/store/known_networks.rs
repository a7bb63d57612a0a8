//! The table `auth.known_networks`. Registrations and log-ins add to it in their own statements.

use sqlx::PgConnection;

/// Deletes networks that were not used for 30 days: the oldest, at most `limit`. Returns how many
/// it deleted.
pub(crate) async fn purge(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH oldest AS (
            SELECT user_id, network FROM auth.known_networks
            WHERE last_used_at <= now() - INTERVAL '30 days'
            ORDER BY last_used_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        DELETE FROM auth.known_networks AS stored
        USING oldest
        WHERE stored.user_id = oldest.user_id AND stored.network = oldest.network",
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
