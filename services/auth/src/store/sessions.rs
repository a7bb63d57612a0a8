//! The table `auth.sessions`. A session ends when its row is deleted: a trigger then adds it to
//! `auth.ended_access`.

use parlance_core::{SessionId, Timestamp, UserId};
use sqlx::PgConnection;

use super::ended_access;

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
