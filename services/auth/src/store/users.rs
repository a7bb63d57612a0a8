//! The table `auth.users`.

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Credentials, NewUser, User};

/// The constraint that makes a name unique.
pub(crate) const FOLDED_USERNAME_KEY: &str = "users_folded_username_key";

/// Adds an active user and returns it.
pub(crate) async fn insert(conn: &mut PgConnection, user: &NewUser<'_>) -> sqlx::Result<User> {
    sqlx::query_as!(
        User,
        "INSERT INTO auth.users (username, folded_username, password_hash, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $4)
        RETURNING
            id,
            username,
            is_active,
            created_at,
            updated_at",
        user.username,
        user.folded_username,
        user.password_hash,
        user.created_at
    )
    .fetch_one(conn)
    .await
}

/// True if a user has the name.
pub(crate) async fn is_taken(conn: &mut PgConnection, folded_username: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM auth.users WHERE folded_username = $1) AS "is_taken!""#,
        folded_username
    )
    .fetch_one(conn)
    .await
}

/// Returns what a log-in with this name is checked against.
pub(crate) async fn find_credentials(
    conn: &mut PgConnection,
    folded_username: &str,
) -> sqlx::Result<Option<Credentials>> {
    sqlx::query_as!(
        Credentials,
        "SELECT
            id AS user_id,
            username,
            is_active,
            password_hash,
            end_all_count
        FROM auth.users
        WHERE folded_username = $1",
        folded_username
    )
    .fetch_optional(conn)
    .await
}

/// Returns the users with these ids, in no particular order.
pub(crate) async fn list_by_ids(conn: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        "SELECT
            id,
            username,
            is_active,
            created_at,
            updated_at
        FROM auth.users
        WHERE id = ANY ($1)",
        ids
    )
    .fetch_all(conn)
    .await
}

/// Returns the users with these names, each with its folded name, in no particular order.
pub(crate) async fn list_by_folded_usernames(
    conn: &mut PgConnection,
    folded_usernames: &[String],
) -> sqlx::Result<Vec<(String, User)>> {
    let rows = sqlx::query!(
        "SELECT
            folded_username,
            id,
            username,
            is_active,
            created_at,
            updated_at
        FROM auth.users
        WHERE folded_username = ANY ($1)",
        folded_usernames
    )
    .fetch_all(conn)
    .await?;
    let users = rows.into_iter().map(|row| {
        let user = User {
            id: row.id,
            username: row.username,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        (row.folded_username, user)
    });
    Ok(users.collect())
}

/// Returns the ids of all inactive users, ascending.
pub(crate) async fn list_inactive_ids(conn: &mut PgConnection) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!("SELECT id FROM auth.users WHERE NOT is_active ORDER BY id")
        .fetch_all(conn)
        .await
}

/// Makes a user active or inactive, and returns the changed user. Without a change, `updated_at`
/// stays as it is.
pub(crate) async fn set_active(
    conn: &mut PgConnection,
    folded_username: &str,
    is_active: bool,
    now: Timestamp,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "UPDATE auth.users
        SET
            is_active = $2,
            updated_at = CASE WHEN is_active = $2 THEN updated_at ELSE $3 END
        WHERE folded_username = $1
        RETURNING
            id,
            username,
            is_active,
            created_at,
            updated_at",
        folded_username,
        is_active,
        now
    )
    .fetch_optional(conn)
    .await
}
