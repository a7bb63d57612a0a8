//! `messaging.batches`: what was committed in the last ten minutes.

use std::collections::HashMap;

use parlance_core::RoomId;
use sqlx::PgConnection;

/// Rows that one read returns at most. A reader that missed more compares the `last_seq` of its
/// rooms instead.
const MAX_BATCHES: i64 = 10_000;

/// What a reader knows: everything that was committed before a snapshot. A transaction that the
/// snapshot does not see is read once, when it has committed, however long it or another one is
/// open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The text form of a `pg_snapshot`. Its size is bounded by the number of connections.
    snapshot: String,
    /// Transaction ids mean nothing on another timeline.
    timeline: String,
}

/// The commits that one read of the table found.
pub(crate) struct Commits {
    /// The `last_seq` of each room that changed.
    pub(crate) last_seqs: HashMap<RoomId, i64>,
    /// Where the next read starts.
    pub(crate) next_cursor: Cursor,
}

/// Returns everything committed since `cursor`; `None` if there is too much, or if the database has
/// failed over since.
pub(crate) async fn read_from(
    conn: &mut PgConnection,
    cursor: &Cursor,
) -> sqlx::Result<Option<Commits>> {
    let rows = sqlx::query!(
        r#"
        WITH batch AS MATERIALIZED (
            (
                SELECT room_ids, last_seqs
                FROM messaging.batches
                WHERE xid >= pg_snapshot_xmax($1::TEXT::PG_SNAPSHOT)
                LIMIT $2
            )
            UNION ALL
            (
                SELECT room_ids, last_seqs
                FROM messaging.batches
                WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::TEXT::PG_SNAPSHOT)))
                LIMIT $2
            )
        )
        SELECT
            pg_current_snapshot()::TEXT AS "snapshot!",
            left(pg_walfile_name(pg_current_wal_lsn()), 8) AS "timeline!",
            (SELECT count(*) FROM batch) AS "batches!",
            room.room_id AS "room_id?: RoomId",
            max(room.last_seq) AS "last_seq?"
        FROM (SELECT) AS this_read
        LEFT JOIN (
            batch
            CROSS JOIN LATERAL unnest(batch.room_ids, batch.last_seqs) AS room (room_id, last_seq)
        ) ON TRUE
        GROUP BY room.room_id
        "#,
        cursor.snapshot,
        MAX_BATCHES,
    )
    .fetch_all(conn)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let next_cursor = Cursor { snapshot: first.snapshot.clone(), timeline: first.timeline.clone() };
    if first.batches >= MAX_BATCHES || next_cursor.timeline != cursor.timeline {
        return Ok(None);
    }
    let last_seqs =
        rows.into_iter().filter_map(|row| Some((row.room_id?, row.last_seq?))).collect();
    Ok(Some(Commits { last_seqs, next_cursor }))
}

/// Returns the cursor for a reader that knows everything committed so far.
pub(crate) async fn current_cursor(conn: &mut PgConnection) -> sqlx::Result<Cursor> {
    sqlx::query_as!(
        Cursor,
        r#"
        SELECT
            pg_current_snapshot()::TEXT AS "snapshot!",
            left(pg_walfile_name(pg_current_wal_lsn()), 8) AS "timeline!"
        "#
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
