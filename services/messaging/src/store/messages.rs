//! `messaging.messages`: the messages themselves. New ones come through
//! [`write_batch`](super::write_batch).

use parlance_core::{MessageId, RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Event, EventKind, Message, PageRequest};

/// A message, and the number that a query assigns to it.
struct Row {
    number: i64,
    id: MessageId,
    room_id: RoomId,
    seq: i64,
    sender_id: UserId,
    sender_name: String,
    content: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    edited_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

impl Row {
    /// Turns a row whose number is the `seq` of its change into an event.
    fn into_event(self) -> Event {
        let (room_id, seq) = (self.room_id, self.number);
        let kind = match self.deleted_at {
            Some(_) => EventKind::Deleted(self.id),
            None if seq == self.seq => EventKind::Created(self.into_message()),
            None => EventKind::Edited(self.into_message()),
        };
        Event { room_id, seq, kind, traceparent: String::new() }
    }

    fn into_message(self) -> Message {
        Message {
            id: self.id,
            room_id: self.room_id,
            seq: self.seq,
            sender_id: self.sender_id,
            sender_name: self.sender_name,
            content: self.content,
            created_at: self.created_at,
            updated_at: self.updated_at,
            edited_at: self.edited_at,
        }
    }
}

/// The room and the sender of a message.
pub(crate) struct Origin {
    pub(crate) room_id: RoomId,
    pub(crate) sender_id: UserId,
}

/// Returns the room and the sender of a message that is not deleted.
pub(crate) async fn find_origin(
    conn: &mut PgConnection,
    message_id: MessageId,
) -> sqlx::Result<Option<Origin>> {
    sqlx::query_as!(
        Origin,
        r#"
        SELECT
            room_id,
            sender_id
        FROM (
            SELECT
                room_id,
                sender_id,
                deleted_at
            FROM messaging.messages
            WHERE id = $1
            -- Else the plan may read all of the index of messages that are not deleted.
            OFFSET 0
        ) AS message
        WHERE deleted_at IS NULL
        "#,
        message_id.get(),
    )
    .fetch_optional(conn)
    .await
}

/// A message after an edit or a deletion.
pub(crate) struct Change {
    pub(crate) message: Message,
    /// The number of its last change.
    pub(crate) seq: i64,
    /// False if the message had this content before: then it is as it was.
    pub(crate) is_changed: bool,
}

/// Edits a message (with new content) or deletes it (without). `None` if the message is deleted
/// already.
pub(crate) async fn change(
    conn: &mut PgConnection,
    room_id: RoomId,
    message_id: MessageId,
    content: Option<&str>,
) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query!(
        r#"
        SELECT
            change.is_changed AS "is_changed!",
            (change.message_after).change_seq AS "change_seq!",
            (change.message_after).id AS "id!: MessageId",
            (change.message_after).room_id AS "room_id!: RoomId",
            (change.message_after).seq AS "seq!",
            (change.message_after).sender_id AS "sender_id!: UserId",
            (change.message_after).sender_name AS "sender_name!",
            (change.message_after).content AS "content!",
            (change.message_after).created_at AS "created_at!",
            (change.message_after).updated_at AS "updated_at!",
            (change.message_after).edited_at AS "edited_at: Timestamp"
        FROM messaging.change_message($1, $2, $3) AS change
        "#,
        room_id.get(),
        message_id.get(),
        content,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Change {
        message: Message {
            id: row.id,
            room_id: row.room_id,
            seq: row.seq,
            sender_id: row.sender_id,
            sender_name: row.sender_name,
            content: row.content,
            created_at: row.created_at,
            updated_at: row.updated_at,
            edited_at: row.edited_at,
        },
        seq: row.change_seq,
        is_changed: row.is_changed,
    }))
}

/// Returns the messages of several pages, each in ascending order, in the order of the requests. A
/// page has one message more than requested if there are more in the direction of reading.
pub(crate) async fn read_pages(
    conn: &mut PgConnection,
    requests: &[PageRequest],
) -> sqlx::Result<Vec<Vec<Message>>> {
    let room_ids: Vec<i64> = requests.iter().map(|request| request.room_id.get()).collect();
    let before_ids: Vec<Option<i64>> =
        requests.iter().map(|request| request.from.before()).collect();
    let after_ids: Vec<Option<i64>> = requests.iter().map(|request| request.from.after()).collect();
    let sizes: Vec<i64> = requests.iter().map(|request| i64::from(request.limit) + 1).collect();

    let mut pages: Vec<Vec<Message>> = requests.iter().map(|_| Vec::new()).collect();
    for row in read_page_rows(conn, &room_ids, &before_ids, &after_ids, &sizes).await? {
        // Requests are numbered from 1.
        let page = usize::try_from(row.number - 1).ok().and_then(|index| pages.get_mut(index));
        page.ok_or(sqlx::Error::RowNotFound)?.push(row.into_message());
    }
    for page in &mut pages {
        page.sort_unstable_by_key(|message| message.seq);
    }
    Ok(pages)
}

/// Returns the messages of all pages, each with the number of its page, from 1, in no order.
async fn read_page_rows(
    conn: &mut PgConnection,
    room_ids: &[i64],
    before_ids: &[Option<i64>],
    after_ids: &[Option<i64>],
    sizes: &[i64],
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT
            request.number AS "number!",
            message.id AS "id!: MessageId",
            message.room_id AS "room_id!: RoomId",
            message.seq AS "seq!",
            message.sender_id AS "sender_id!: UserId",
            message.sender_name AS "sender_name!",
            message.content AS "content!",
            message.created_at AS "created_at!",
            message.updated_at AS "updated_at!",
            message.edited_at,
            message.deleted_at
        FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[])
            WITH ORDINALITY AS request (room_id, before_id, after_id, size, number)
        CROSS JOIN LATERAL (
            (
                SELECT *
                FROM messaging.messages
                WHERE request.after_id IS NULL
                    AND room_id = request.room_id
                    AND seq < coalesce(
                        messaging.seq_from(request.room_id, request.before_id),
                        9223372036854775807
                    )
                    AND deleted_at IS NULL
                ORDER BY seq DESC
                LIMIT request.size
            )
            UNION ALL
            (
                SELECT *
                FROM messaging.messages
                WHERE request.after_id IS NOT NULL
                    AND room_id = request.room_id
                    AND seq >= messaging.seq_from(request.room_id, request.after_id)
                    AND id > request.after_id
                    AND deleted_at IS NULL
                ORDER BY seq
                LIMIT request.size
            )
        ) AS message
        "#,
        room_ids,
        before_ids as &[Option<i64>],
        after_ids as &[Option<i64>],
        sizes,
    )
    .fetch_all(conn)
    .await
}

/// Returns the changes of a room above `after_seq` and up to `up_to_seq`, in order, at most `limit`
/// of them: messages created in that range and not deleted since, and the last change of an older
/// message if it falls into the range.
pub(crate) async fn read_changes(
    conn: &mut PgConnection,
    room_id: RoomId,
    after_seq: i64,
    up_to_seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT
            event_seq AS "number!",
            id AS "id!: MessageId",
            room_id AS "room_id!: RoomId",
            seq AS "seq!",
            sender_id AS "sender_id!: UserId",
            sender_name AS "sender_name!",
            content AS "content!",
            created_at AS "created_at!",
            updated_at AS "updated_at!",
            edited_at,
            deleted_at
        FROM (
            SELECT seq AS event_seq, *
            FROM messaging.messages
            WHERE room_id = $1
                AND seq > $2
                AND seq <= $3
                AND deleted_at IS NULL
            UNION ALL
            SELECT change_seq AS event_seq, *
            FROM messaging.messages
            WHERE room_id = $1
                AND change_seq <> seq
                AND change_seq > $2
                AND change_seq <= $3
                AND seq <= $2
        ) AS event
        ORDER BY event_seq
        LIMIT $4
        "#,
        room_id.get(),
        after_seq,
        up_to_seq,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::into_event).collect())
}

/// Deletes up to `limit` messages of deleted rooms for good; returns how many. Skips messages that
/// another replica is deleting.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    room_ids: &[RoomId],
    limit: i64,
) -> sqlx::Result<u64> {
    let room_ids: Vec<i64> = room_ids.iter().map(|room_id| room_id.get()).collect();
    let result = sqlx::query!(
        r#"
        DELETE FROM messaging.messages
        WHERE id = ANY(ARRAY(
            SELECT id
            FROM messaging.messages
            WHERE room_id = ANY($1)
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))
        "#,
        &room_ids,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
