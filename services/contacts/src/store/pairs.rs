//! The table `contacts.pairs`. Every transition is one conditional statement, so that no race can
//! leave both an invitation and a contact.
//!
//! An invitation that is older than its `ttl` has ended: no statement sees it but the ones that
//! delete it. Its age is the time from `invited_at` to the clock of the database, so that all
//! replicas agree.

use std::time::Duration;

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{OutboxId, Pair, PairId, State, UserPair};

/// Locks the number of invitations of a user until the transaction ends. False if another one has
/// locked it.
pub(crate) async fn try_lock_invitations(
    conn: &mut PgConnection,
    inviter: UserId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT
            pg_try_advisory_xact_lock(hashtextextended('contacts.invitations', $1)) AS "locked!"
        "#,
        inviter.get(),
    )
    .fetch_one(conn)
    .await
}

/// Makes an invitation, or accepts the opposite one. `None` if neither is possible: the user has
/// invited before, or the two are contacts.
pub(crate) async fn invite_or_accept(
    conn: &mut PgConnection,
    users: UserPair,
    inviter: UserId,
    now: Timestamp,
    ttl: Duration,
) -> sqlx::Result<Option<Pair>> {
    // One that has ended gives way, so that the next one has a new id.
    sqlx::query!(
        "DELETE FROM contacts.pairs
         WHERE low_id = $1 AND high_id = $2 AND state = 'invited'
             AND invited_at <= clock_timestamp() - MAKE_INTERVAL(secs => $3)",
        users.low.get(),
        users.high.get(),
        ttl.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    let row = sqlx::query_as!(
        Row,
        r#"
        INSERT INTO contacts.pairs AS pair (low_id, high_id, state, inviter_id, invited_at)
        VALUES ($1, $2, 'invited', $3, $4)
        ON CONFLICT ON CONSTRAINT pairs_once
        DO UPDATE SET state = 'contacts', contacts_since = $4
        WHERE pair.state = 'invited' AND pair.inviter_id <> $3
        RETURNING
            id, low_id, high_id, inviter_id, invited_at, contacts_since,
            NULL::BIGINT AS "outbox_id: OutboxId"
        "#,
        users.low.get(),
        users.high.get(),
        inviter.get(),
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Pair::from))
}

/// Counts the open invitations that a user has made, at most up to `limit`.
pub(crate) async fn count_sent(
    conn: &mut PgConnection,
    inviter: UserId,
    ttl: Duration,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        SELECT COUNT(*) AS "count!"
        FROM (
            SELECT
            FROM contacts.pairs
            WHERE inviter_id = $1
                AND state = 'invited' COLLATE "C"
                AND invited_at > clock_timestamp() - MAKE_INTERVAL(secs => $2)
            LIMIT $3
        ) AS sent
        "#,
        inviter.get(),
        ttl.as_secs_f64(),
        limit,
    )
    .fetch_one(conn)
    .await
}

/// Turns an invitation into a contact. `None` if this user has no such invitation.
pub(crate) async fn accept(
    conn: &mut PgConnection,
    id: PairId,
    invited: UserId,
    now: Timestamp,
    ttl: Duration,
) -> sqlx::Result<Option<Pair>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        UPDATE contacts.pairs
        SET state = 'contacts', contacts_since = $3
        WHERE id = $1 AND state = 'invited' AND $2 IN (low_id, high_id) AND inviter_id <> $2
            AND invited_at > clock_timestamp() - MAKE_INTERVAL(secs => $4)
        RETURNING
            id, low_id, high_id, inviter_id, invited_at, contacts_since,
            NULL::BIGINT AS "outbox_id: OutboxId"
        "#,
        id.0,
        invited.get(),
        now,
        ttl.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Pair::from))
}

/// Removes an invitation. False if this user has no such invitation.
pub(crate) async fn reject(
    conn: &mut PgConnection,
    id: PairId,
    invited: UserId,
    ttl: Duration,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM contacts.pairs
         WHERE id = $1 AND state = 'invited' AND $2 IN (low_id, high_id) AND inviter_id <> $2
             AND invited_at > clock_timestamp() - MAKE_INTERVAL(secs => $3)",
        id.0,
        invited.get(),
        ttl.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Takes an invitation back. False if this user has made no such invitation.
pub(crate) async fn withdraw(
    conn: &mut PgConnection,
    id: PairId,
    inviter: UserId,
    ttl: Duration,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM contacts.pairs
         WHERE id = $1 AND state = 'invited' AND inviter_id = $2
             AND invited_at > clock_timestamp() - MAKE_INTERVAL(secs => $3)",
        id.0,
        inviter.get(),
        ttl.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Deletes up to `limit` invitations that have ended, the oldest first. Returns how many.
pub(crate) async fn delete_expired(
    conn: &mut PgConnection,
    ttl: Duration,
    limit: u32,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM contacts.pairs
         WHERE id = ANY(ARRAY(
             SELECT id
             FROM contacts.pairs
             WHERE contacts_since IS NULL
                 -- Not clock_timestamp(), by which no index can be searched.
                 AND invited_at <= now() - MAKE_INTERVAL(secs => $1)
             ORDER BY invited_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         ))",
        ttl.as_secs_f64(),
        i64::from(limit),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Selects one pair by a condition.
macro_rules! find_pair {
    ($conn:expr, $condition:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"
            SELECT
                id, low_id, high_id, inviter_id, invited_at, contacts_since,
                (
                    SELECT entry.id
                    FROM contacts.outbox AS entry
                    WHERE entry.low_id = pair.low_id AND entry.high_id = pair.high_id
                ) AS "outbox_id: OutboxId"
            FROM contacts.pairs AS pair
            WHERE
            "# + $condition,
            $($argument),+
        )
        .fetch_optional($conn)
        .await
        .map(|row| row.map(Pair::from))
    };
}

/// Returns the pair of these two users.
pub(crate) async fn find(conn: &mut PgConnection, users: UserPair) -> sqlx::Result<Option<Pair>> {
    find_pair!(conn, "low_id = $1 AND high_id = $2", users.low.get(), users.high.get())
}

/// Returns the pair with this id.
pub(crate) async fn find_by_id(conn: &mut PgConnection, id: PairId) -> sqlx::Result<Option<Pair>> {
    find_pair!(conn, "id = $1", id.0)
}

/// Returns all pairs of a user, ordered by id.
pub(crate) async fn list(
    conn: &mut PgConnection,
    user: UserId,
    ttl: Duration,
) -> sqlx::Result<Vec<Pair>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT
            id AS "id!: PairId",
            low_id AS "low_id!: UserId",
            high_id AS "high_id!: UserId",
            inviter_id AS "inviter_id!: UserId",
            invited_at AS "invited_at!",
            contacts_since,
            -- The outbox is nearly always empty. EXISTS finds that out once, not for each pair.
            CASE WHEN EXISTS (SELECT FROM contacts.outbox) THEN (
                SELECT entry.id
                FROM contacts.outbox AS entry
                WHERE entry.low_id = pair.low_id AND entry.high_id = pair.high_id
            ) END AS "outbox_id: OutboxId"
        FROM (
            SELECT * FROM contacts.pairs WHERE low_id = $1
            UNION ALL
            SELECT * FROM contacts.pairs WHERE high_id = $1
        ) AS pair
        WHERE state = 'contacts'
            OR invited_at > clock_timestamp() - MAKE_INTERVAL(secs => $2)
        ORDER BY id
        "#,
        user.get(),
        ttl.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Pair::from).collect())
}

/// A pair as every statement above selects it. The state follows from `contacts_since`: a
/// constraint of the table ties the two.
struct Row {
    id: PairId,
    low_id: UserId,
    high_id: UserId,
    inviter_id: UserId,
    invited_at: Timestamp,
    contacts_since: Option<Timestamp>,
    outbox_id: Option<OutboxId>,
}

impl From<Row> for Pair {
    fn from(row: Row) -> Self {
        let state = match row.contacts_since {
            Some(since) => State::Contacts { since, outbox_id: row.outbox_id },
            None => State::Invited,
        };
        Self {
            id: row.id,
            users: UserPair { low: row.low_id, high: row.high_id },
            inviter: row.inviter_id,
            invited_at: row.invited_at,
            state,
        }
    }
}
