//! `messaging.batches`: what was committed in the last minutes.

use std::collections::HashMap;

use parlance_core::RoomId;
use sqlx::PgConnection;

/// What a look at the table showed.
pub(crate) struct News {
    /// The rooms that changed, with their heads.
    pub(crate) heads: HashMap<RoomId, i64>,
    /// Where to look from next time. Transactions that are still open may yet commit rows at or
    /// above it; so the same news may be seen twice, and none is missed.
    pub(crate) next_cursor: i64,
}

/// Everything committed by transactions from `cursor` on.
pub(crate) async fn read_from(conn: &mut PgConnection, cursor: i64) -> sqlx::Result<News> {
    let rows = sqlx::query!(
        r#"
        SELECT
            pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "next_cursor!",
            room.room_id AS "room_id: RoomId",
            max(room.head_seq) AS "head_seq"
        FROM (SELECT $1::TEXT::XID8 AS xid) AS from_here
        LEFT JOIN messaging.batches AS batch ON batch.xid >= from_here.xid
        LEFT JOIN LATERAL unnest(batch.room_ids, batch.head_seqs) AS room (room_id, head_seq) ON TRUE
        GROUP BY room.room_id
        "#,
        cursor.to_string(),
    )
    .fetch_all(conn)
    .await?;
    let next_cursor = rows.first().map_or(cursor, |row| row.next_cursor);
    let heads = rows.into_iter().filter_map(|row| Some((row.room_id?, row.head_seq?))).collect();
    Ok(News { heads, next_cursor })
}

/// Where to look from when everything committed so far is known.
pub(crate) async fn present_cursor(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "cursor!""#
    )
    .fetch_one(conn)
    .await
}

/// Removes what is older than ten minutes.
pub(crate) async fn forget_old(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM messaging.batches WHERE created_at < now() - INTERVAL '10 minutes'")
        .execute(conn)
        .await?;
    Ok(())
}
