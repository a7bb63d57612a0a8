//! The table `auth.users`.

use parlance_core::{AvatarUrl, DisplayName, Timestamp, UserId};
use sqlx::PgConnection;

use crate::client_network::ClientNetwork;
use crate::model::{Credentials, NewUser, TextChange, User};

/// The constraint that makes a name unique.
pub(crate) const FOLDED_USERNAME_KEY: &str = "users_folded_username_key";

/// Adds an active user, who has used this network, and returns it.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    user: &NewUser<'_>,
    network: Option<ClientNetwork>,
) -> sqlx::Result<User> {
    sqlx::query_as!(
        User,
        "WITH added AS (
            INSERT INTO auth.users (
                username, folded_username, password_hash, created_at, updated_at
            )
            VALUES ($1, $2, $3, $4, $4)
            RETURNING
                id,
                username,
                is_active,
                created_at,
                updated_at,
                display_name,
                avatar_url
        ), known AS (
            INSERT INTO auth.known_networks (user_id, network, last_used_at)
            SELECT id, $5, clock_timestamp() FROM added WHERE $5::TEXT IS NOT NULL
        )
        SELECT id, username, is_active, created_at, updated_at, display_name, avatar_url
        FROM added",
        user.username,
        user.folded_username,
        user.password_hash,
        user.created_at,
        network.map(|network| network.to_string())
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

/// Returns the users with these ids, in no particular order.
pub(crate) async fn list_by_ids(conn: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        "SELECT
            id,
            username,
            is_active,
            created_at,
            updated_at,
            display_name,
            avatar_url
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
            updated_at,
            display_name,
            avatar_url
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
            display_name: row.display_name,
            avatar_url: row.avatar_url,
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
            updated_at,
            display_name,
            avatar_url",
        folded_username,
        is_active,
        now
    )
    .fetch_optional(conn)
    .await
}

/// Changes what a user shows, and returns the user afterwards. Without a change nothing is
/// written. `None` if there is no such user.
pub(crate) async fn update_profile(
    conn: &mut PgConnection,
    user_id: UserId,
    display_name: &TextChange<DisplayName>,
    avatar_url: &TextChange<AvatarUrl>,
    now: Timestamp,
) -> sqlx::Result<Option<User>> {
    let (sets_name, name) = columns(display_name, DisplayName::as_str);
    let (sets_url, url) = columns(avatar_url, AvatarUrl::as_str);
    sqlx::query!(
        "UPDATE auth.users
        SET
            display_name = CASE WHEN $2 THEN $3 ELSE display_name END,
            avatar_url = CASE WHEN $4 THEN $5 ELSE avatar_url END,
            updated_at = GREATEST(updated_at, $6)
        WHERE id = $1
            AND ($2 AND display_name IS DISTINCT FROM $3 OR $4 AND avatar_url IS DISTINCT FROM $5)",
        user_id as UserId,
        sets_name,
        name,
        sets_url,
        url,
        now
    )
    .execute(&mut *conn)
    .await?;
    Ok(list_by_ids(conn, &[user_id.get()]).await?.pop())
}

fn columns<T>(change: &TextChange<T>, as_str: fn(&T) -> &str) -> (bool, Option<&str>) {
    match change {
        TextChange::Keep => (false, None),
        TextChange::Set(text) => (true, text.as_ref().map(as_str)),
    }
}

/// Returns up to `limit` users whose profiles changed after a number, with the numbers of their
/// last changes, ascending.
pub(crate) async fn list_changed_profiles(
    conn: &mut PgConnection,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<(i64, UserId)>> {
    let rows = sqlx::query!(
        r#"SELECT profile_number, id AS "id: UserId"
        FROM auth.users
        WHERE profile_number > $1 AND profile_number > 0
        ORDER BY profile_number
        LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.profile_number, row.id)).collect())
}

/// Returns a user's folded name, and what a change of the password is checked against.
pub(crate) async fn find_by_id(
    conn: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<(String, Credentials)>> {
    let row = sqlx::query!(
        "SELECT
            username,
            folded_username,
            is_active,
            password_hash,
            end_all_count
        FROM auth.users
        WHERE id = $1",
        user_id as UserId
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let credentials = Credentials {
            user_id,
            username: row.username,
            is_active: row.is_active,
            password_hash: row.password_hash,
            end_all_count: row.end_all_count,
        };
        (row.folded_username, credentials)
    }))
}

/// Stores the hash of another password, unless the password has changed since these credentials
/// were read. A hash that was only renewed is no change: sessions have not ended since. Keeps the
/// lock of the user's row until the end of the transaction.
pub(crate) async fn change_password(
    conn: &mut PgConnection,
    checked: &Credentials,
    password_hash: &str,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE auth.users
        SET password_hash = $4
        WHERE id = $1 AND (password_hash IS NOT DISTINCT FROM $2 OR end_all_count = $3)",
        checked.user_id as UserId,
        checked.password_hash,
        checked.end_all_count,
        password_hash
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Stores the hash of a password. Keeps the lock of the user's row until the end of the
/// transaction.
pub(crate) async fn set_password(
    conn: &mut PgConnection,
    user_id: UserId,
    password_hash: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE auth.users SET password_hash = $2 WHERE id = $1",
        user_id as UserId,
        password_hash
    )
    .execute(conn)
    .await?;
    Ok(())
}
