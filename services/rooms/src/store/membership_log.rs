//! The table `rooms.membership_log`, and `rooms.membership_log_floor`, which remembers how much of
//! it is gone.
//!
//! Readers go on from snapshots, not from ids: what a snapshot did not see yet is what was
//! committed after it, whatever its id.

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Cursor, End, EndReason, RoomVersion};

/// The transactions whose entries a reader has seen, as Postgres writes a `pg_snapshot`.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    text: String,
    cursor: Cursor,
}

impl Snapshot {
    /// A snapshot that has seen every transaction below the cursor and none from there on.
    pub(crate) fn below(cursor: Cursor) -> Self {
        // No transaction has an id whose lower half is zero, and Postgres does not read one.
        let end = if cursor.0.trailing_zeros() >= u32::BITS { cursor.0 | 1 } else { cursor.0 };
        Self { text: format!("{end}:{end}:"), cursor }
    }

    /// Every transaction below has ended, and this snapshot has seen it.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// The place of an entry in the order of reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    xid: i64,
    id: i64,
}

impl Position {
    /// Before every entry.
    pub(crate) const START: Self = Self { xid: 0, id: 0 };
}

/// Some entries that a snapshot has not seen.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) ends: Vec<End>,
    /// The place of the last entry; that of the page before when there is none.
    pub(crate) position: Position,
    /// What the reader has seen after this page, provided that it is the only one.
    pub(crate) snapshot: Snapshot,
    /// Entries that the snapshot has not seen may be gone.
    pub(crate) is_cut_off: bool,
}

/// Adds an entry.
pub(crate) async fn insert(conn: &mut PgConnection, end: End, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO rooms.membership_log (room_id, user_id, reason, room_version, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        end.room_id.get(),
        end.user_id.map(UserId::get),
        end.reason as EndReason,
        end.room_version.0,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What has been committed by now.
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
    Ok(Snapshot { text: row.text, cursor: Cursor(row.cursor.cast_unsigned()) })
}

/// Up to `limit` entries after a position which the snapshot has not seen, in the order of reading.
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
            floor.xid >= pg_snapshot_xmin(seen.snapshot)
                -- A cursor from the future comes from another database.
                OR pg_snapshot_xmin(seen.snapshot) > pg_snapshot_xmax(pg_current_snapshot()) AS "is_cut_off!",
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

    // The join to the one row of the floor gives a row even when there is no entry.
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let snapshot =
        Snapshot { text: first.text.clone(), cursor: Cursor(first.cursor.cast_unsigned()) };
    let is_cut_off = first.is_cut_off;
    let mut position = after;
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(xid), Some(id)) = (row.xid, row.id) else { continue };
        let (Some(room_id), Some(reason), Some(version)) =
            (row.room_id, row.reason, row.room_version)
        else {
            continue;
        };
        position = Position { xid, id };
        ends.push(End {
            room_id,
            user_id: row.user_id,
            reason,
            room_version: RoomVersion(version),
        });
    }
    Ok(Page { ends, position, snapshot, is_cut_off })
}

/// Deletes up to `limit` entries from before a time, and remembers how far the log is cut off.
/// Returns how many there were. Keeps what a snapshot taken now would name as a place to go on
/// from.
pub(crate) async fn trim(
    conn: &mut PgConnection,
    before: Timestamp,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        WITH gone AS (
            DELETE FROM rooms.membership_log
            WHERE id = ANY(ARRAY(
                SELECT id
                FROM rooms.membership_log
                WHERE created_at < $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY id
                LIMIT $2
            ))
            RETURNING xid
        ),
        raised AS (
            UPDATE rooms.membership_log_floor AS floor
            SET xid = GREATEST(floor.xid, gone.highest)
            FROM (SELECT xid AS highest FROM gone ORDER BY xid DESC LIMIT 1) AS gone
        )
        SELECT COUNT(*) AS "count!" FROM gone
        "#,
        before,
        limit,
    )
    .fetch_one(conn)
    .await
}
