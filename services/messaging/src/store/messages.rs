//! `messaging.messages`: the messages themselves.

use std::collections::HashMap;

use parlance_core::{MessageId, RoomId, Timestamp, UserId};
use sqlx::{PgConnection, PgPool};

use super::room_heads;
use crate::model::{Draft, Event, EventKind, Message, Outcome, PageQuestion};

/// What becomes of rooms whose heads somebody else has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// They are left out, and nothing waits.
    LeftOut,
    /// They are waited for, and with them everything else.
    WaitedFor,
}

/// Whether keys that should be new are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FreshKeys {
    /// They are not, and the whole batch fails when one is not new after all.
    Trusted,
    /// They are, like all others.
    LookedFor,
}

/// Stores a batch in one call; what came of each draft, in their order, or nothing where the room
/// was left out.
pub(crate) async fn write_batch(
    conn: &mut PgConnection,
    drafts: &[&Draft],
    locked: Locked,
    fresh_keys: FreshKeys,
) -> sqlx::Result<Vec<Option<Outcome>>> {
    let arranged = Arrangement::of(drafts);
    let mut rows = write(conn, drafts, &arranged, locked, fresh_keys).await?;
    if rows.is_empty() {
        room_heads::ensure(conn, &arranged.room_ids).await?;
        rows = write(conn, drafts, &arranged, locked, fresh_keys).await?;
    }

    let outcomes = arranged.places.iter().enumerate().map(|(draft, &place)| {
        let row = rows.get(place).ok_or(sqlx::Error::RowNotFound)?;
        let is_first = arranged.chosen[place] == draft;
        Ok(row.outcome(is_first, &drafts[arranged.chosen[place]].content))
    });
    outcomes.collect()
}

/// A row for each draft that is handed over; none, and nothing stored, when a room has no head yet.
async fn write(
    conn: &mut PgConnection,
    drafts: &[&Draft],
    arranged: &Arrangement,
    locked: Locked,
    fresh_keys: FreshKeys,
) -> sqlx::Result<Vec<Row>> {
    let chosen = || arranged.chosen.iter().map(|&draft| drafts[draft]);
    let sender_ids: Vec<i64> = chosen().map(|draft| draft.sender_id.get()).collect();
    let sender_names: Vec<&str> = chosen().map(|draft| draft.sender_name.as_str()).collect();
    let keys: Vec<&str> = chosen().map(|draft| draft.key.as_str()).collect();
    let is_trusted = |draft: &Draft| draft.is_fresh && fresh_keys == FreshKeys::Trusted;
    let known_keys: Vec<Option<&str>> =
        chosen().map(|draft| (!is_trusted(draft)).then_some(draft.key.as_str())).collect();
    let contents: Vec<&str> = chosen().map(|draft| draft.content.as_str()).collect();
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
            left_out
        FROM messaging.write_batch($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        &arranged.room_ids,
        &arranged.rooms,
        &sender_ids,
        &sender_names as &[&str],
        &keys as &[&str],
        &known_keys as &[Option<&str>],
        &contents as &[&str],
        locked == Locked::WaitedFor,
    )
    .fetch_all(conn)
    .await
}

/// A row of the answer.
struct Row {
    id: Option<i64>,
    seq: Option<i64>,
    content: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    edited_at: Option<Timestamp>,
    left_out: Option<bool>,
}

impl Row {
    /// What it says of a draft, of the one that was handed over or of a later one with the same
    /// key; nothing when it was left out.
    fn outcome(&self, is_first: bool, handed_over: &str) -> Option<Outcome> {
        (self.left_out != Some(true)).then(|| self.outcome_in_room(is_first, handed_over))
    }

    fn outcome_in_room(&self, is_first: bool, handed_over: &str) -> Outcome {
        let (Some(id), Some(seq), Some(created_at), Some(updated_at)) =
            (self.id, self.seq, self.created_at, self.updated_at)
        else {
            return Outcome::RoomDeleted;
        };
        let id = MessageId::new(id);
        if is_first && self.content.is_none() {
            return Outcome::Stored { id, seq, created_at };
        }
        let content = self.content.as_deref().unwrap_or(handed_over).to_owned();
        Outcome::Known { id, seq, content, created_at, updated_at, edited_at: self.edited_at }
    }
}

/// A batch in the order in which the store takes it: by room, inside a room in the order of
/// arrival, each key once.
struct Arrangement {
    /// Each room once, ascending.
    room_ids: Vec<i64>,
    /// The drafts that are handed over.
    chosen: Vec<usize>,
    /// For each of those the place of its room, from 1.
    rooms: Vec<i32>,
    /// For each draft of the batch the place of the first one with its key among the chosen.
    places: Vec<usize>,
}

impl Arrangement {
    fn of(drafts: &[&Draft]) -> Self {
        let mut by_room: Vec<usize> = (0..drafts.len()).collect();
        by_room.sort_by_key(|&draft| drafts[draft].room_id);
        let mut arranged = Self {
            room_ids: Vec::new(),
            chosen: Vec::with_capacity(drafts.len()),
            rooms: Vec::with_capacity(drafts.len()),
            places: vec![0; drafts.len()],
        };
        let mut first_places = HashMap::with_capacity(drafts.len());
        for place in by_room {
            let draft = drafts[place];
            let key = (draft.room_id, draft.sender_id, draft.key.as_str());
            let first_place =
                *first_places.entry(key).or_insert_with(|| arranged.choose(place, draft));
            arranged.places[place] = first_place;
        }
        arranged
    }

    /// Hands a draft over; its place among those that are.
    fn choose(&mut self, place: usize, draft: &Draft) -> usize {
        let room_id = draft.room_id.get();
        if self.room_ids.last() != Some(&room_id) {
            self.room_ids.push(room_id);
        }
        self.rooms.push(self.room_ids.len() as i32);
        self.chosen.push(place);
        self.chosen.len() - 1
    }
}

/// Where a message is and whose it is.
pub(crate) struct Place {
    pub(crate) room_id: RoomId,
    pub(crate) sender_id: UserId,
}

/// The place of a message that is not deleted.
pub(crate) async fn place(
    conn: &mut PgConnection,
    message_id: MessageId,
) -> sqlx::Result<Option<Place>> {
    sqlx::query_as!(
        Place,
        r#"
        SELECT
            room_id,
            sender_id
        FROM messaging.messages
        WHERE id = $1
            AND deleted_at IS NULL
        "#,
        message_id.get(),
    )
    .fetch_optional(conn)
    .await
}

/// Edits a message (with new content) or deletes it (without); the message afterwards and the
/// number of the change. Nothing when it was deleted meanwhile.
pub(crate) async fn change(
    conn: &mut PgConnection,
    room_id: RoomId,
    message_id: MessageId,
    content: Option<&str>,
) -> sqlx::Result<Option<(Message, i64)>> {
    let row = sqlx::query!(
        r#"
        SELECT
            id AS "id!",
            room_id AS "room_id!",
            seq AS "seq!",
            change_seq AS "change_seq!",
            sender_id AS "sender_id!",
            sender_name AS "sender_name!",
            content AS "content!",
            created_at AS "created_at!",
            updated_at AS "updated_at!",
            edited_at
        FROM messaging.change_message($1, $2, $3)
        "#,
        room_id.get(),
        message_id.get(),
        content,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let message = Message {
            id: MessageId::new(row.id),
            room_id: RoomId::new(row.room_id),
            seq: row.seq,
            sender_id: UserId::new(row.sender_id),
            sender_name: row.sender_name,
            content: row.content,
            created_at: row.created_at,
            updated_at: row.updated_at,
            edited_at: row.edited_at,
        };
        (message, row.change_seq)
    }))
}

/// The messages of several pages, each in ascending order and in the place of its question: at most
/// as many as asked for and one more, which shows whether there are more in the direction of
/// reading.
pub(crate) async fn pages(
    pool: &PgPool,
    questions: &[PageQuestion],
) -> sqlx::Result<Vec<Vec<Message>>> {
    let room_ids: Vec<i64> = questions.iter().map(|question| question.room_id.get()).collect();
    let before_ids: Vec<Option<i64>> =
        questions.iter().map(|question| question.from.before()).collect();
    let after_ids: Vec<Option<i64>> =
        questions.iter().map(|question| question.from.after()).collect();
    let limits: Vec<i64> = questions.iter().map(|question| i64::from(question.limit) + 1).collect();
    let rows = sqlx::query!(
        r#"
        SELECT
            question.place AS "place!",
            message.id AS "id!",
            message.room_id AS "room_id!",
            message.seq AS "seq!",
            message.sender_id AS "sender_id!",
            message.sender_name AS "sender_name!",
            message.content AS "content!",
            message.created_at AS "created_at!",
            message.updated_at AS "updated_at!",
            message.edited_at
        FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[])
            WITH ORDINALITY AS question (room_id, before_id, after_id, size, place)
        CROSS JOIN LATERAL (
            (
                SELECT *
                FROM messaging.messages
                WHERE question.after_id IS NULL
                    AND room_id = question.room_id
                    AND seq < coalesce(messaging.seq_from(question.room_id, question.before_id), 9223372036854775807)
                    AND deleted_at IS NULL
                ORDER BY seq DESC
                LIMIT question.size
            )
            UNION ALL
            (
                SELECT *
                FROM messaging.messages
                WHERE question.after_id IS NOT NULL
                    AND room_id = question.room_id
                    AND seq >= messaging.seq_from(question.room_id, question.after_id)
                    AND id > question.after_id
                    AND deleted_at IS NULL
                ORDER BY seq
                LIMIT question.size
            )
        ) AS message
        "#,
        &room_ids,
        &before_ids as &[Option<i64>],
        &after_ids as &[Option<i64>],
        &limits,
    )
    .fetch_all(pool)
    .await?;

    let mut pages: Vec<Vec<Message>> = questions.iter().map(|_| Vec::new()).collect();
    for row in rows {
        // Places count from 1.
        let page = usize::try_from(row.place - 1).ok().and_then(|place| pages.get_mut(place));
        page.ok_or(sqlx::Error::RowNotFound)?.push(Message {
            id: MessageId::new(row.id),
            room_id: RoomId::new(row.room_id),
            seq: row.seq,
            sender_id: UserId::new(row.sender_id),
            sender_name: row.sender_name,
            content: row.content,
            created_at: row.created_at,
            updated_at: row.updated_at,
            edited_at: row.edited_at,
        });
    }
    for page in &mut pages {
        page.sort_unstable_by_key(|message| message.seq);
    }
    Ok(pages)
}

/// What changed in a room above `after_seq` and up to `up_to_seq`, in order, at most `limit`
/// events: messages created in that range and not deleted since, and the last change of older
/// messages if it falls into the range.
pub(crate) async fn changes(
    conn: &mut PgConnection,
    room_id: RoomId,
    after_seq: i64,
    up_to_seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query!(
        r#"
        SELECT
            event_seq AS "event_seq!",
            id AS "id!",
            seq AS "seq!",
            sender_id AS "sender_id!",
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

    let events = rows.into_iter().map(|row| {
        let id = MessageId::new(row.id);
        let message = Message {
            id,
            room_id,
            seq: row.seq,
            sender_id: UserId::new(row.sender_id),
            sender_name: row.sender_name,
            content: row.content,
            created_at: row.created_at,
            updated_at: row.updated_at,
            edited_at: row.edited_at,
        };
        let deleted_at: Option<Timestamp> = row.deleted_at;
        let kind = match deleted_at {
            Some(_) => EventKind::Deleted(id),
            None if row.event_seq == row.seq => EventKind::Created(message),
            None => EventKind::Edited(message),
        };
        Event { room_id, seq: row.event_seq, kind, traceparent: String::new() }
    });
    Ok(events.collect())
}

/// Removes up to `limit` messages of a deleted room for good; how many there were. Leaves those
/// alone that another replica is about to remove.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    room_id: RoomId,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"
        DELETE FROM messaging.messages
        WHERE id = ANY(ARRAY(
            SELECT id
            FROM messaging.messages
            WHERE room_id = $1
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))
        "#,
        room_id.get(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Removes canaries that are older than ten minutes.
pub(crate) async fn forget_canaries(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM messaging.messages
        WHERE room_id = $1
            AND created_at < now() - INTERVAL '10 minutes'
        "#,
        RoomId::CANARY.get(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
