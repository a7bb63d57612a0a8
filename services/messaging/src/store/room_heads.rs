//! `messaging.room_heads`: the `last_seq` of each room, and the lock of a room.

use std::collections::HashMap;
use std::time::Duration;

use parlance_core::RoomId;
use sqlx::PgConnection;

/// Returns the `last_seq` of each room. A room without a message is missing in the result; its
/// `last_seq` is 0.
pub(crate) async fn read(
    conn: &mut PgConnection,
    room_ids: &[RoomId],
) -> sqlx::Result<HashMap<RoomId, i64>> {
    let rows = sqlx::query!(
        r#"
        SELECT
            room_id,
            last_seq
        FROM messaging.room_heads
        WHERE room_id = ANY ($1)
        "#,
        &to_i64(room_ids),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room_id, row.last_seq)).collect())
}

/// Creates the rows that are missing, and returns their rooms. Rows are never deleted.
pub(crate) async fn create_missing(
    conn: &mut PgConnection,
    room_ids: &[RoomId],
) -> sqlx::Result<Vec<RoomId>> {
    sqlx::query_scalar!(
        r#"
        INSERT INTO messaging.room_heads (room_id)
        SELECT room.room_id
        FROM unnest($1::BIGINT[]) AS room (room_id)
        ORDER BY room.room_id
        ON CONFLICT DO NOTHING
        RETURNING room_id
        "#,
        &to_i64(room_ids),
    )
    .fetch_all(conn)
    .await
}

/// Locks a room until the end of the transaction. Waits for locks of other transactions, and fails
/// with a lock timeout if it must wait for longer.
pub(crate) async fn lock_within(
    conn: &mut PgConnection,
    room_id: RoomId,
    timeout: Duration,
) -> sqlx::Result<()> {
    let milliseconds = timeout.as_millis().to_string();
    sqlx::query!("SELECT set_config('lock_timeout', $1, TRUE)", milliseconds)
        .fetch_one(&mut *conn)
        .await?;
    sqlx::query!("SELECT FROM messaging.room_heads WHERE room_id = $1 FOR UPDATE", room_id.get())
        .execute(conn)
        .await?;
    Ok(())
}

/// Marks rooms as deleted, whose ids ascend; also those that never had a message: nothing can be
/// added to them.
pub(crate) async fn mark_deleted(conn: &mut PgConnection, room_ids: &[RoomId]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.room_heads (room_id, deleted)
        SELECT room.room_id, TRUE
        FROM unnest($1::BIGINT[]) AS room (room_id)
        ON CONFLICT (room_id) DO UPDATE SET deleted = TRUE
        "#,
        &to_i64(room_ids),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A room, and what is left of it.
#[derive(Debug)]
pub(crate) struct RoomHead {
    pub(crate) room_id: RoomId,
    pub(crate) deleted: bool,
    /// True if the room is marked as deleted and still has messages.
    pub(crate) is_left_over: bool,
}

/// Returns up to `limit` rooms with lower ids, the highest first.
pub(crate) async fn list_before(
    conn: &mut PgConnection,
    before: RoomId,
    limit: i64,
) -> sqlx::Result<Vec<RoomHead>> {
    sqlx::query_as!(
        RoomHead,
        r#"
        SELECT
            head.room_id,
            head.deleted,
            left_over.room_id IS NOT NULL AS "is_left_over!"
        FROM messaging.room_heads AS head
        LEFT JOIN LATERAL (
            SELECT message.room_id
            FROM messaging.messages AS message
            WHERE head.deleted
                AND message.room_id = head.room_id
            LIMIT 1
        ) AS left_over ON TRUE
        WHERE head.room_id < $1
        ORDER BY head.room_id DESC
        LIMIT $2
        "#,
        before.get(),
        limit,
    )
    .fetch_all(conn)
    .await
}

fn to_i64(room_ids: &[RoomId]) -> Vec<i64> {
    room_ids.iter().map(|room_id| room_id.get()).collect()
}
