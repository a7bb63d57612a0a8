//! The table `auth.refresh_tokens`. Its changes happen under the lock of the session's row.

use std::time::Duration;

use parlance_core::SessionId;
use sqlx::PgConnection;

use crate::model::{NewRefreshToken, PresentedToken};
use crate::refresh_token::TokenHash;

/// Returns the session of a token, even of one that has expired.
pub(crate) async fn find_session(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> sqlx::Result<Option<SessionId>> {
    sqlx::query_scalar!("SELECT session_id FROM auth.refresh_tokens WHERE hash = $1", &hash.0[..])
        .fetch_optional(conn)
        .await
}

/// Returns a token that has not expired, and whether it was first used within the grace period.
pub(crate) async fn find(
    conn: &mut PgConnection,
    hash: &TokenHash,
    grace: Duration,
) -> sqlx::Result<Option<PresentedToken>> {
    sqlx::query_as!(
        PresentedToken,
        r#"SELECT
            number,
            predecessor,
            first_used_at IS NOT NULL AS "was_used!",
            coalesce(first_used_at > clock_timestamp() - make_interval(secs => $2), FALSE)
                AS "is_in_grace!",
            is_succeeded
        FROM auth.refresh_tokens
        WHERE hash = $1 AND expires_at > clock_timestamp()"#,
        &hash.0[..],
        grace.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// Notes a use of a token, if it is the first one, and that its predecessor has a successor in use.
pub(crate) async fn mark_used(
    conn: &mut PgConnection,
    session_id: SessionId,
    token: &PresentedToken,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE auth.refresh_tokens
        SET
            first_used_at = CASE
                WHEN number = $2 THEN coalesce(first_used_at, clock_timestamp())
                ELSE first_used_at
            END,
            is_succeeded = is_succeeded OR number <> $2
        WHERE session_id = $1 AND (number = $2 OR number = $3)",
        session_id as SessionId,
        token.number,
        token.predecessor
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds a token that expires after `ttl`, or with its session.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    token: &NewRefreshToken<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO auth.refresh_tokens (hash, session_id, number, predecessor, expires_at)
        SELECT
            $1,
            id,
            $3,
            $4,
            least(clock_timestamp() + make_interval(secs => $5), ends_at)
        FROM auth.sessions
        WHERE id = $2",
        &token.hash.0[..],
        token.session_id as SessionId,
        token.number,
        token.predecessor,
        token.ttl.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes unused tokens of a session but the newest `max_unused`, and used ones up to
/// `last_used`.
pub(crate) async fn trim(
    conn: &mut PgConnection,
    session_id: SessionId,
    max_unused: i64,
    last_used: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM auth.refresh_tokens
        WHERE session_id = $1
            AND (
                number = ANY (ARRAY(
                    SELECT number
                    FROM auth.refresh_tokens
                    WHERE session_id = $1 AND first_used_at IS NULL
                    ORDER BY number DESC
                    OFFSET $2
                ))
                OR (number <= $3 AND first_used_at IS NOT NULL)
            )",
        session_id as SessionId,
        max_unused,
        last_used
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` tokens that have expired; returns how many. Skips rows that another
/// transaction is changing.
pub(crate) async fn purge(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.refresh_tokens
        WHERE hash = ANY (ARRAY(
            SELECT hash
            FROM auth.refresh_tokens
            WHERE expires_at < now()
            ORDER BY expires_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        ))",
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
