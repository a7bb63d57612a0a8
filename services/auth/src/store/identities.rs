//! The table `auth.identities`.

use parlance_core::UserId;
use sqlx::PgConnection;

use crate::client_network::ClientNetwork;
use crate::issuers::Identity;
use crate::model::{IdentityAccount, NewUser, User};

/// The constraint that gives a person one account.
pub(crate) const IDENTITY_KEY: &str = "identities_pkey";

/// Returns the account of a person.
pub(crate) async fn find(
    conn: &mut PgConnection,
    identity: &Identity,
) -> sqlx::Result<Option<IdentityAccount>> {
    let row = sqlx::query!(
        "SELECT
            account.id,
            account.username,
            account.is_active,
            account.created_at,
            account.updated_at,
            account.display_name,
            account.avatar_url,
            account.end_all_count
        FROM auth.users AS account
        -- A join could read all identities while there are few.
        WHERE account.id = (
            SELECT user_id
            FROM auth.identities
            WHERE issuer = $1 AND subject = $2
        )",
        identity.issuer.config.issuer,
        identity.subject
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let user = User {
            id: row.id,
            username: row.username,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at,
            display_name: row.display_name,
            avatar_url: row.avatar_url,
        };
        IdentityAccount { user, end_all_count: row.end_all_count }
    }))
}

/// Adds the account of a person, and the network that the person has used. `None` if the name is
/// taken. Fails by the constraint [`IDENTITY_KEY`] if the person has an account.
pub(crate) async fn add_account(
    conn: &mut PgConnection,
    identity: &Identity,
    user: &NewUser<'_>,
    network: ClientNetwork,
) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar!(
        "WITH added AS (
            INSERT INTO auth.users (
                username, folded_username, password_hash, created_at, updated_at
            )
            VALUES ($1, $2, $3, $4, $4)
            ON CONFLICT (folded_username) DO NOTHING
            RETURNING id
        ), known AS (
            INSERT INTO auth.known_networks (user_id, network, last_used_at)
            SELECT id, $5, clock_timestamp() FROM added
        )
        INSERT INTO auth.identities (issuer, subject, user_id, created_at)
        SELECT $6, $7, id, $4 FROM added
        RETURNING user_id",
        user.username,
        user.folded_username,
        user.password_hash,
        user.created_at,
        network.to_string(),
        identity.issuer.config.issuer,
        identity.subject
    )
    .fetch_optional(conn)
    .await
}
