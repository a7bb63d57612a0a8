//! The table `auth.sessions`. A session ends when its row is deleted: a trigger then adds it to
//! `auth.ended_access`.

use std::time::Duration;

use parlance_core::{SessionId, Timestamp, UserId};
use sqlx::PgConnection;

use super::ended_access;
use crate::model::{Credentials, LockedSession, NewSession, Session};

/// Begins a session of a user whose password was checked against `credentials`. `None` if the user
/// is inactive by now, the password has changed, or the generation is another one. Keeps the lock
/// of the user's row until the end of the transaction.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    credentials: &Credentials,
    session: &NewSession<'_>,
) -> sqlx::Result<Option<SessionId>> {
    sqlx::query_scalar!(
        "WITH account AS (
            SELECT id
            FROM auth.users
            WHERE id = $1 AND is_active AND (password_hash = $2 OR end_all_count = $3)
            FOR NO KEY UPDATE
        )
        INSERT INTO auth.sessions (
            user_id,
            generation,
            created_at,
            last_used_at,
            expires_at,
            ends_at,
            tokens_expire_at,
            refresh_token_count,
            user_agent,
            address
        )
        SELECT
            account.id,
            access.session_generation,
            clock.now,
            clock.now,
            clock.now + make_interval(secs => $5),
            clock.now + make_interval(secs => $6),
            $7,
            $8,
            $9,
            $10
        FROM
            account,
            auth.access_revision AS access,
            (SELECT clock_timestamp() AS now) AS clock
        WHERE access.session_generation = $4
        RETURNING id",
        credentials.user_id as UserId,
        credentials.password_hash,
        credentials.end_all_count,
        session.generation,
        session.expires_in.as_secs_f64(),
        session.ends_in.as_secs_f64(),
        session.tokens_expire_at,
        session.refresh_token_count,
        session.user_agent,
        session.address
    )
    .fetch_optional(conn)
    .await
}

/// Ends the oldest live sessions of a user but `max`, and returns them. Needs the lock of the user's
/// row.
pub(crate) async fn end_oldest(
    conn: &mut PgConnection,
    user_id: UserId,
    max: i64,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        "DELETE FROM auth.sessions
        WHERE id = ANY (ARRAY(
            SELECT session.id
            FROM auth.sessions AS session
            JOIN auth.access_revision AS access ON access.session_generation = session.generation
            WHERE session.user_id = $1 AND session.expires_at > clock_timestamp()
            ORDER BY session.id DESC
            OFFSET $2
        ))
        RETURNING id",
        user_id as UserId,
        max
    )
    .fetch_all(conn)
    .await
}

/// Locks a live session of an active user until the end of the transaction.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    session_id: SessionId,
    generation: i64,
) -> sqlx::Result<Option<LockedSession>> {
    sqlx::query_as!(
        LockedSession,
        r#"SELECT
            account.id AS user_id,
            account.username,
            extract(EPOCH FROM session.ends_at - clock_timestamp())::FLOAT8 AS "ends_in_s!"
        FROM auth.sessions AS session
        -- A join by the user of the session could read all users while there are few.
        JOIN auth.users AS account
            ON account.id = (SELECT user_id FROM auth.sessions WHERE id = $1)
            AND account.is_active
        JOIN auth.access_revision AS access ON access.session_generation = session.generation
        WHERE session.id = $1
            AND session.generation = $2
            AND session.expires_at > clock_timestamp()
        FOR NO KEY UPDATE OF session"#,
        session_id as SessionId,
        generation
    )
    .fetch_optional(conn)
    .await
}

/// Notes the use of a locked session and prolongs it, for a new refresh token that lives for
/// `refresh_ttl` and an access token. Returns the number of the refresh token.
pub(crate) async fn renew(
    conn: &mut PgConnection,
    session_id: SessionId,
    refresh_ttl: Duration,
    token_expires_at: Timestamp,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "UPDATE auth.sessions
        SET
            last_used_at = clock_timestamp(),
            expires_at = greatest(
                expires_at,
                least(clock_timestamp() + make_interval(secs => $2), ends_at)
            ),
            tokens_expire_at = greatest(tokens_expire_at, $3),
            refresh_token_count = refresh_token_count + 1
        WHERE id = $1
        RETURNING refresh_token_count",
        session_id as SessionId,
        refresh_ttl.as_secs_f64(),
        token_expires_at
    )
    .fetch_one(conn)
    .await
}

/// Returns the live sessions of a user, the newest first.
pub(crate) async fn list(conn: &mut PgConnection, user_id: UserId) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as!(
        Session,
        "SELECT
            session.id,
            session.created_at,
            session.last_used_at,
            session.expires_at,
            session.user_agent,
            session.address
        FROM auth.sessions AS session
        JOIN auth.access_revision AS access ON access.session_generation = session.generation
        WHERE session.user_id = $1 AND session.expires_at > clock_timestamp()
        ORDER BY session.id DESC",
        user_id as UserId
    )
    .fetch_all(conn)
    .await
}

/// True if the user's session is live and began within five minutes.
pub(crate) async fn has_just_begun(
    conn: &mut PgConnection,
    user_id: UserId,
    session_id: SessionId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM auth.sessions
            WHERE id = $1
                AND user_id = $2
                AND expires_at > clock_timestamp()
                AND created_at > clock_timestamp() - INTERVAL '5 minutes'
        ) AS "has_just_begun!""#,
        session_id as SessionId,
        user_id as UserId
    )
    .fetch_one(conn)
    .await
}

/// Ends a session of a user. False if it is not live.
pub(crate) async fn end(
    conn: &mut PgConnection,
    user_id: UserId,
    session_id: SessionId,
) -> sqlx::Result<bool> {
    let was_live = sqlx::query_scalar!(
        r#"DELETE FROM auth.sessions
        WHERE id = $1 AND user_id = $2
        RETURNING
            expires_at > clock_timestamp()
                AND generation = (SELECT session_generation FROM auth.access_revision)
                AS "was_live!""#,
        session_id as SessionId,
        user_id as UserId
    )
    .fetch_optional(conn)
    .await?;
    Ok(was_live.unwrap_or(false))
}

/// Ends all sessions of a user but one, and all tokens of the user that have no session and were
/// issued up to now; these expire at `expires_at` at the latest. Returns the sessions.
///
/// Needs a transaction. Takes the lock of the user's row first, so that a log-in that has checked
/// the password before begins its session before this or not at all, if the password changes in the
/// same transaction.
pub(crate) async fn end_all(
    conn: &mut PgConnection,
    user_id: UserId,
    except: Option<SessionId>,
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query!(
        "UPDATE auth.users SET end_all_count = end_all_count + 1 WHERE id = $1",
        user_id as UserId
    )
    .execute(&mut *conn)
    .await?;
    let ended = sqlx::query_scalar!(
        "DELETE FROM auth.sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2 RETURNING id",
        user_id as UserId,
        except as Option<SessionId>
    )
    .fetch_all(&mut *conn)
    .await?;
    ended_access::insert_user(conn, user_id, now, expires_at).await?;
    Ok(ended)
}

/// Deletes up to `limit` sessions that expired an hour ago; returns how many. By then their access
/// tokens have expired by any clock, so that they need not be noted as ended. Skips rows that
/// another transaction is changing.
pub(crate) async fn purge(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.sessions
        WHERE id = ANY (ARRAY(
            SELECT id
            FROM auth.sessions
            WHERE expires_at < now() - INTERVAL '1 hour'
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
