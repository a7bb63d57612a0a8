//! `messaging.room_heads`: how far each room has come.

use std::collections::HashMap;

use parlance_core::RoomId;
use sqlx::{PgConnection, PgExecutor};

/// The heads of the rooms. A room without a message is at 0 and not in the answer.
pub(crate) async fn read(
    executor: impl PgExecutor<'_>,
    room_ids: &[RoomId],
) -> sqlx::Result<HashMap<RoomId, i64>> {
    let room_ids: Vec<i64> = room_ids.iter().map(|room_id| room_id.get()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT
            room_id,
            last_seq
        FROM messaging.room_heads
        WHERE room_id = ANY ($1)
        "#,
        &room_ids,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room_id, row.last_seq)).collect())
}

/// Makes the heads that are missing. None ever goes away.
pub(crate) async fn ensure(conn: &mut PgConnection, room_ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.room_heads (room_id)
        SELECT wanted.room_id
        FROM unnest($1::BIGINT[]) AS wanted (room_id)
        ORDER BY wanted.room_id
        ON CONFLICT DO NOTHING
        "#,
        room_ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Turns the head of a room into a tombstone: nothing can be added any more. Also for rooms that
/// never had a message.
pub(crate) async fn bury(conn: &mut PgConnection, room_id: RoomId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.room_heads (room_id, deleted)
        VALUES ($1, TRUE)
        ON CONFLICT (room_id) DO UPDATE SET deleted = TRUE
        "#,
        room_id.get(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
