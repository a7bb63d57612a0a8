//! The table `auth.ended_access`: the tokens that have ended before they expire. A trigger adds the
//! sessions.

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

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
