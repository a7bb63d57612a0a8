//! The table `auth.reset_codes`.

use parlance_core::UserId;
use sqlx::PgConnection;

use crate::refresh_token::TokenHash;

/// Stores a code for an hour, in the place of an earlier one of the user.
pub(crate) async fn replace(
    conn: &mut PgConnection,
    user_id: UserId,
    code: &TokenHash,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO auth.reset_codes (user_id, code_hash, expires_at)
        VALUES ($1, $2, clock_timestamp() + INTERVAL '1 hour')
        ON CONFLICT (user_id) DO UPDATE SET
            code_hash = EXCLUDED.code_hash,
            expires_at = EXCLUDED.expires_at",
        user_id as UserId,
        &code.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the user whose password a code resets, and the folded name.
pub(crate) async fn find_user(
    conn: &mut PgConnection,
    code: &TokenHash,
) -> sqlx::Result<Option<(UserId, String)>> {
    let row = sqlx::query!(
        "SELECT id, folded_username
        FROM auth.users
        WHERE id = (
            SELECT user_id
            FROM auth.reset_codes
            WHERE code_hash = $1 AND expires_at > clock_timestamp()
        )",
        &code.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.folded_username)))
}

/// Uses a code up. False if it is not good any more.
pub(crate) async fn take(conn: &mut PgConnection, code: &TokenHash) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM auth.reset_codes WHERE code_hash = $1 AND expires_at > clock_timestamp()",
        &code.0
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Voids the code of a user, if there is one.
pub(crate) async fn delete(conn: &mut PgConnection, user_id: UserId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM auth.reset_codes WHERE user_id = $1", user_id as UserId)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes expired codes, at most `limit`. Returns how many it deleted.
pub(crate) async fn purge(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.reset_codes
        WHERE user_id = ANY (ARRAY(
            SELECT user_id
            FROM auth.reset_codes
            WHERE expires_at <= now()
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
