//! The tables `rooms.membership_log` and `rooms.membership_log_floor`. The latter knows up to which
//! transaction the log was trimmed.
//!
//! Readers continue from snapshots, not from ids: an entry that a snapshot does not see was
//! committed after it, whatever its id.

use std::time::Duration;

use parlance_core::UserId;
use sqlx::PgConnection;

use crate::model::{Cursor, EndReason, MembershipEnd, RoomVersion};

/// The transactions whose entries a reader has seen, in the text form of a `pg_snapshot`.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    text: String,
    cursor: Cursor,
}

impl Snapshot {
    fn new(text: String, cursor: i64) -> Self {
        Self { text, cursor: Cursor(cursor.cast_unsigned()) }
    }

    /// Makes a snapshot that has seen every transaction below the cursor and no other.
    pub(crate) fn from_cursor(cursor: Cursor) -> Self {
        // No transaction has an id whose lower half is zero, and Postgres refuses to parse one.
        let end = if cursor.0.trailing_zeros() >= u32::BITS { cursor.0 | 1 } else { cursor.0 };
        Self { text: format!("{end}:{end}:"), cursor }
    }

    /// Returns the id below which every transaction has ended and is seen by this snapshot.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// The position of an entry in reading order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    xid: i64,
    id: i64,
}

impl Position {
    /// Before every entry.
    pub(crate) const START: Self = Self { xid: 0, id: 0 };
}

/// Entries that a snapshot has not seen.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) ends: Vec<MembershipEnd>,
    /// The position of the last entry. On an empty page, the position that was read from.
    pub(crate) position: Position,
    /// What the reader has seen after this page, if it is the only page.
    pub(crate) snapshot: Snapshot,
    /// True if entries that the snapshot has not seen may have been deleted.
    pub(crate) is_truncated: bool,
}

/// Adds an entry.
pub(crate) async fn insert(conn: &mut PgConnection, end: MembershipEnd) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO rooms.membership_log (room_id, user_id, reason, room_version)
         VALUES ($1, $2, $3, $4)",
        end.room_id.get(),
        end.user_id.map(UserId::get),
        end.reason as EndReason,
        end.room_version.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns a snapshot that has seen everything committed so far.
pub(crate) async fn current_snapshot(conn: &mut PgConnection) -> sqlx::Result<Snapshot> {
    let row = sqlx::query!(
        r#"
        SELECT
            pg_current_snapshot()::TEXT AS "text!",
            pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "cursor!"
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(Snapshot::new(row.text, row.cursor))
}

/// Returns up to `limit` entries after a position that the snapshot has not seen, in reading order.
pub(crate) async fn read(
    conn: &mut PgConnection,
    seen: &Snapshot,
    after: Position,
    limit: i64,
) -> sqlx::Result<Page> {
    let rows = sqlx::query!(
        r#"
        SELECT
            pg_current_snapshot()::TEXT AS "text!",
            pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS "cursor!",
            -- A reader from the oldest entry on misses none that is kept.
            (floor.xid >= pg_snapshot_xmin(seen.snapshot) AND seen.snapshot::TEXT <> '1:1:')
                -- A cursor from the future belongs to another database.
                OR pg_snapshot_xmin(seen.snapshot) > pg_snapshot_xmax(pg_current_snapshot())
                AS "is_truncated!",
            entry.xid::TEXT::BIGINT AS xid,
            entry.id AS "id?",
            entry.room_id AS "room_id?",
            entry.user_id AS "user_id?",
            entry.reason AS "reason?: EndReason",
            entry.room_version AS "room_version?"
        FROM (SELECT $1::TEXT::PG_SNAPSHOT AS snapshot) AS seen
        CROSS JOIN rooms.membership_log_floor AS floor
        LEFT JOIN LATERAL (
            SELECT *
            FROM rooms.membership_log
            WHERE xid >= pg_snapshot_xmin(seen.snapshot)
              AND NOT pg_visible_in_snapshot(xid, seen.snapshot)
              AND (xid, id) > ($2::BIGINT::TEXT::XID8, $3::BIGINT)
            ORDER BY xid, id
            LIMIT $4
        ) AS entry ON TRUE
        ORDER BY entry.xid, entry.id
        "#,
        seen.text,
        after.xid,
        after.id,
        limit,
    )
    .fetch_all(conn)
    .await?;

    // The join to the one row of the floor gives a row even without an entry.
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let snapshot = Snapshot::new(first.text.clone(), first.cursor);
    let is_truncated = first.is_truncated;
    let last = rows.last().and_then(|row| Some(Position { xid: row.xid?, id: row.id? }));
    let ends = rows.into_iter().filter_map(|row| {
        let (room_version, user_id) = (RoomVersion(row.room_version?), row.user_id);
        Some(MembershipEnd { room_id: row.room_id?, user_id, reason: row.reason?, room_version })
    });
    Ok(Page { ends: ends.collect(), position: last.unwrap_or(after), snapshot, is_truncated })
}

/// Deletes up to `limit` entries that are older than the retention time, and raises the floor.
/// Returns how many were deleted. Keeps the entries that a reader with a current cursor may still
/// read.
pub(crate) async fn trim(
    conn: &mut PgConnection,
    retention: Duration,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        WITH deleted AS (
            DELETE FROM rooms.membership_log
            WHERE id = ANY(ARRAY(
                SELECT id
                FROM rooms.membership_log
                WHERE created_at < clock_timestamp() - make_interval(secs => $1)
                  AND xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY id
                LIMIT $2
            ))
            RETURNING xid
        ),
        raise_floor AS (
            UPDATE rooms.membership_log_floor AS floor
            SET xid = GREATEST(floor.xid, deleted.highest)
            FROM (SELECT xid AS highest FROM deleted ORDER BY xid DESC LIMIT 1) AS deleted
        )
        SELECT COUNT(*) AS "count!" FROM deleted
        "#,
        retention.as_secs_f64(),
        limit,
    )
    .fetch_one(conn)
    .await
}
