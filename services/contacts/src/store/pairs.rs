//! The table `contacts.pairs`. Every transition is one conditional statement, so that no race can
//! leave both an invitation and a contact.

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{OutboxId, Pair, PairId, State, UserPair};

/// Makes an invitation, or accepts the opposite one. `None` if neither is possible: the user has
/// invited before, or the two are contacts.
pub(crate) async fn invite_or_accept(
    conn: &mut PgConnection,
    users: UserPair,
    inviter: UserId,
    now: Timestamp,
) -> sqlx::Result<Option<Pair>> {
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

/// Turns an invitation into a contact. `None` if this user has no such invitation.
pub(crate) async fn accept(
    conn: &mut PgConnection,
    id: PairId,
    invited: UserId,
    now: Timestamp,
) -> sqlx::Result<Option<Pair>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        UPDATE contacts.pairs
        SET state = 'contacts', contacts_since = $3
        WHERE id = $1 AND state = 'invited' AND $2 IN (low_id, high_id) AND inviter_id <> $2
        RETURNING
            id, low_id, high_id, inviter_id, invited_at, contacts_since,
            NULL::BIGINT AS "outbox_id: OutboxId"
        "#,
        id.0,
        invited.get(),
        now,
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
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM contacts.pairs
         WHERE id = $1 AND state = 'invited' AND $2 IN (low_id, high_id) AND inviter_id <> $2",
        id.0,
        invited.get(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
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
pub(crate) async fn list(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Pair>> {
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
        ORDER BY id
        "#,
        user.get(),
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
