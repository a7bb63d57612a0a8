//! Calls `messaging.write_batch` (`migrations/0001_baseline.sql`), which stores many messages in
//! one round trip. For an idempotency key (the `client_msg_id`) that is stored already it returns
//! the first message.

use parlance_core::{ErrorCode, MessageId, Timestamp};
use sqlx::PgConnection;

use crate::model::{Draft, Message, WriteResult};

/// Stores a batch. The caller has removed the repeats of a key within the batch. Returns the result
/// for each draft in the order of the drafts; `None` for a room that another transaction has
/// locked, or that has no row in `room_heads`.
pub(crate) async fn write_batch(
    conn: &mut PgConnection,
    drafts: &[&Draft],
) -> sqlx::Result<Vec<Option<WriteResult>>> {
    let mut by_room: Vec<usize> = (0..drafts.len()).collect();
    by_room.sort_by_key(|&index| drafts[index].room_id);
    let sorted: Vec<&Draft> = by_room.iter().map(|&index| drafts[index]).collect();

    let mut results = vec![None; drafts.len()];
    for (index, row) in by_room.into_iter().zip(call(conn, &sorted).await?) {
        results[index] = row.into_result(drafts[index]);
    }
    Ok(results)
}

/// Calls the function with drafts that are sorted by room.
async fn call(conn: &mut PgConnection, drafts: &[&Draft]) -> sqlx::Result<Vec<Row>> {
    let mut room_ids: Vec<i64> = drafts.iter().map(|draft| draft.room_id.get()).collect();
    room_ids.dedup();
    // The position of each draft's room, from 1.
    let rooms: Vec<i32> = drafts
        .chunk_by(|a, b| a.room_id == b.room_id)
        .zip(1..)
        .flat_map(|(drafts, position)| drafts.iter().map(move |_| position))
        .collect();
    let sender_ids: Vec<i64> = drafts.iter().map(|draft| draft.sender_id.get()).collect();
    let sender_names: Vec<&str> = drafts.iter().map(|draft| draft.sender_name.as_str()).collect();
    let keys: Vec<&str> = drafts.iter().map(|draft| draft.key.as_str()).collect();
    let contents: Vec<&str> = drafts.iter().map(|draft| draft.content.as_str()).collect();
    sqlx::query_as!(
        Row,
        r#"
        SELECT
            id,
            seq,
            content,
            created_at,
            updated_at,
            edited_at,
            is_skipped AS "is_skipped!"
        FROM messaging.write_batch($1, $2, $3, $4, $5, $6)
        "#,
        &room_ids,
        &rooms,
        &sender_ids,
        &sender_names as &[&str],
        &keys as &[&str],
        &contents as &[&str],
    )
    .fetch_all(conn)
    .await
}

struct Row {
    id: Option<i64>,
    seq: Option<i64>,
    content: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    edited_at: Option<Timestamp>,
    is_skipped: bool,
}

impl Row {
    fn into_result(self, draft: &Draft) -> Option<WriteResult> {
        if self.is_skipped {
            return None;
        }
        let (Some(id), Some(seq), Some(created_at), Some(updated_at)) =
            (self.id, self.seq, self.created_at, self.updated_at)
        else {
            return Some(WriteResult::Refused(ErrorCode::RoomNotFound));
        };
        let id = MessageId::new(id);
        let Some(content) = self.content else {
            return Some(WriteResult::Stored { id, seq, created_at });
        };
        Some(WriteResult::Duplicate(Message {
            id,
            room_id: draft.room_id,
            seq,
            sender_id: draft.sender_id,
            sender_name: draft.sender_name.clone(),
            content,
            created_at,
            updated_at,
            edited_at: self.edited_at,
        }))
    }
}
