//! `messaging.batches`: what was committed in the last ten minutes.

use std::collections::HashMap;

use parlance_core::RoomId;
use sqlx::PgConnection;

/// The commits that one read of the table found.
pub(crate) struct Commits {
    /// The `last_seq` of each room that changed.
    pub(crate) last_seqs: HashMap<RoomId, i64>,
    /// Where the next read starts. Transactions that are still open may yet commit rows at or above
    /// it. So a row may be read twice, and none is missed.
    pub(crate) next_cursor: i64,
}

/// Returns everything committed by transactions from `cursor` on.
pub(crate) async fn read_from(conn: &mut PgConnection, cursor: i64) -> sqlx::Result<Commits> {
    let rows = sqlx::query!(
        r#"
        SELECT
            pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "next_cursor!",
            room.room_id AS "room_id: RoomId",
            max(room.last_seq) AS "last_seq"
        FROM (SELECT $1::TEXT::XID8 AS xid) AS cursor
        LEFT JOIN messaging.batches AS batch ON batch.xid >= cursor.xid
        LEFT JOIN LATERAL unnest(batch.room_ids, batch.last_seqs) AS room (room_id, last_seq)
            ON TRUE
        GROUP BY room.room_id
        "#,
        cursor.to_string(),
    )
    .fetch_all(conn)
    .await?;
    let next_cursor = rows.first().map_or(cursor, |row| row.next_cursor);
    let last_seqs =
        rows.into_iter().filter_map(|row| Some((row.room_id?, row.last_seq?))).collect();
    Ok(Commits { last_seqs, next_cursor })
}

/// Returns the cursor for a reader that knows everything committed so far.
pub(crate) async fn current_cursor(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "cursor!""#
    )
    .fetch_one(conn)
    .await
}

/// Deletes up to `limit` rows that are older than ten minutes; returns how many. Skips rows that
/// another replica is deleting.
pub(crate) async fn trim(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"
        DELETE FROM messaging.batches
        WHERE id = ANY(ARRAY(
            SELECT id
            FROM messaging.batches
            WHERE created_at < now() - INTERVAL '10 minutes'
            ORDER BY created_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        ))
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
