//! The table `auth.ended_access`: the tokens that have ended before they expire. A trigger adds the
//! sessions.

use parlance_core::{SessionId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{EndedAccess, EndedTokens};

/// Adds the token with this id, which has no session.
pub(crate) async fn insert_token(
    conn: &mut PgConnection,
    token_id: &str,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO auth.ended_access (token_id, expires_at)
        VALUES ($1, $2)
        ON CONFLICT (token_id) DO NOTHING",
        token_id,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds all tokens of a user that have no session and were issued up to a time. One row a user is
/// enough: the new one replaces the old one.
pub(super) async fn insert_user(
    conn: &mut PgConnection,
    user_id: UserId,
    issued_until: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO auth.ended_access AS earlier (user_id, issued_until, expires_at)
        VALUES ($1, $2, $3)
        ON CONFLICT (user_id) DO UPDATE SET
            number = DEFAULT,
            issued_until = greatest(earlier.issued_until, excluded.issued_until),
            expires_at = greatest(earlier.expires_at, excluded.expires_at)",
        user_id as UserId,
        issued_until,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns up to `limit` rows above a number, in the order of their numbers.
pub(crate) async fn list_after(
    conn: &mut PgConnection,
    number: i64,
    limit: i64,
) -> sqlx::Result<Vec<EndedAccess>> {
    let rows = sqlx::query!(
        "SELECT
            number,
            session_id,
            token_id,
            user_id,
            issued_until,
            expires_at
        FROM auth.ended_access
        WHERE number > $1
        ORDER BY number
        LIMIT $2",
        number,
        limit
    )
    .fetch_all(conn)
    .await?;
    let ended = rows.into_iter().filter_map(|row| {
        let tokens = ended_tokens(row.session_id, row.token_id, row.user_id.zip(row.issued_until))?;
        Some(EndedAccess { number: row.number, tokens, expires_at: row.expires_at })
    });
    Ok(ended.collect())
}

/// A constraint of the table sees to it that there is exactly one.
fn ended_tokens(
    session_id: Option<SessionId>,
    token_id: Option<String>,
    user_tokens: Option<(UserId, Timestamp)>,
) -> Option<EndedTokens> {
    let session = session_id.map(EndedTokens::OfSession);
    let token = token_id.map(|token_id| EndedTokens::Token(token_id.into()));
    let of_user = |(user_id, issued_until)| EndedTokens::OfUser { user_id, issued_until };
    session.or(token).or(user_tokens.map(of_user))
}

/// Deletes up to `limit` rows whose tokens expired before a time; returns how many. Skips rows that
/// another replica is deleting.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    expired_before: Timestamp,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.ended_access
        WHERE number = ANY (ARRAY(
            SELECT number
            FROM auth.ended_access
            WHERE expires_at < $1
            ORDER BY expires_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))",
        expired_before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
