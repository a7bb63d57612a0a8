//! The table `contacts.outbox`.

use std::time::Duration;

use sqlx::PgConnection;

use crate::model::{OutboxEntry, OutboxId, UserPair};

/// Adds a row, claimed by the caller.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    users: UserPair,
    claim_timeout: Duration,
) -> sqlx::Result<OutboxEntry> {
    let id = sqlx::query_scalar!(
        "INSERT INTO contacts.outbox (low_id, high_id, claimed_until)
         VALUES ($1, $2, clock_timestamp() + MAKE_INTERVAL(secs => $3))
         RETURNING id",
        users.low.get(),
        users.high.get(),
        claim_timeout.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(OutboxEntry { id, users })
}

/// Claims up to `limit` rows that no replica has claimed, the oldest first.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    limit: i64,
    claim_timeout: Duration,
) -> sqlx::Result<Vec<OutboxEntry>> {
    let rows = sqlx::query!(
        "UPDATE contacts.outbox
         SET claimed_until = clock_timestamp() + MAKE_INTERVAL(secs => $2)
         WHERE id = ANY(ARRAY(
             SELECT id
             FROM contacts.outbox
             WHERE claimed_until < now()
             ORDER BY claimed_until
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         ))
         RETURNING id, low_id, high_id",
        limit,
        claim_timeout.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| OutboxEntry {
        id: row.id,
        users: UserPair { low: row.low_id, high: row.high_id },
    });
    Ok(entries.collect())
}

/// Deletes rows whose rooms are made.
pub(crate) async fn delete(conn: &mut PgConnection, ids: &[OutboxId]) -> sqlx::Result<()> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    sqlx::query!("DELETE FROM contacts.outbox WHERE id = ANY($1)", &ids).execute(conn).await?;
    Ok(())
}
