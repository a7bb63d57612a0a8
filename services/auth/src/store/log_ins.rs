//! The statements of a log-in, each over several tables, so that a log-in takes two: one before the
//! password is hashed, one after it.

use std::time::Duration;

use parlance_core::{Timestamp, UserId};
use sqlx::PgConnection;

use crate::account::{Account, AccountKey};
use crate::client_network::ClientNetwork;
use crate::guessing::Failures;
use crate::model::Credentials;
use crate::store::users;

/// What is known before a password is hashed.
pub(crate) struct Attempt {
    pub(crate) credentials: Option<Credentials>,
    /// Failures from everywhere.
    pub(crate) account_failures: Option<Failures>,
    /// Failures from the network of the log-in.
    pub(crate) network_failures: Option<Failures>,
    /// True if the user registered or logged in from the network within 30 days.
    pub(crate) is_known_network: bool,
    /// The highest cost of a stored hash, as two digits; other text if a hash is not of bcrypt.
    pub(crate) highest_cost: Option<String>,
}

/// Reads everything that a log-in is decided by.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    account: &Account,
    network: ClientNetwork,
) -> sqlx::Result<Attempt> {
    let row = sqlx::query!(
        r#"SELECT
            users.id AS "user_id?: UserId",
            users.username AS "username?",
            users.is_active AS "is_active?",
            users.password_hash AS "password_hash?",
            users.end_all_count AS "end_all_count?",
            account.failures AS "account_failures?",
            account.last_failed_at AS "account_failed_at?: Timestamp",
            EXTRACT(EPOCH FROM clock_timestamp() - account.last_failed_at)::FLOAT8
                AS account_age_s,
            network.failures AS "network_failures?",
            network.last_failed_at AS "network_failed_at?: Timestamp",
            EXTRACT(EPOCH FROM clock_timestamp() - network.last_failed_at)::FLOAT8
                AS network_age_s,
            EXISTS (
                SELECT FROM auth.known_networks AS known
                WHERE known.user_id = users.id
                    AND known.network = $3
                    AND known.last_used_at > clock_timestamp() - INTERVAL '30 days'
            ) AS "is_known_network!",
            (SELECT max(substr(password_hash, 5, 2) COLLATE "C") FROM auth.users) AS highest_cost
        FROM (SELECT) AS one
        LEFT JOIN auth.users ON users.folded_username = $1
        LEFT JOIN auth.log_in_failures AS account
            ON account.account = $2 AND account.network = ''
        LEFT JOIN auth.log_in_failures AS network
            ON network.account = $2 AND network.network = $3"#,
        account.folded_username,
        account.key.as_bytes(),
        network.to_string()
    )
    .fetch_one(conn)
    .await?;
    let credentials = match (row.user_id, row.username, row.is_active, row.end_all_count) {
        (Some(user_id), Some(username), Some(is_active), Some(end_all_count)) => {
            let password_hash = row.password_hash;
            Some(Credentials { user_id, username, is_active, password_hash, end_all_count })
        }
        _ => None,
    };
    Ok(Attempt {
        credentials,
        account_failures: failures(row.account_failures, row.account_failed_at, row.account_age_s),
        network_failures: failures(row.network_failures, row.network_failed_at, row.network_age_s),
        is_known_network: row.is_known_network,
        highest_cost: row.highest_cost,
    })
}

fn failures(
    count: Option<i32>,
    last_failed_at: Option<Timestamp>,
    age_s: Option<f64>,
) -> Option<Failures> {
    let age = Duration::try_from_secs_f64(age_s?).unwrap_or_default();
    Some(Failures { count: count?, last_failed_at: last_failed_at?, age })
}

/// Notes a log-in: remembers the network, of 20 at most. If a password was right, also clears the
/// failures of the account and of the network, and renews the hash if there is a new one. Needs the
/// lock of the user's row.
pub(crate) async fn note_success(
    conn: &mut PgConnection,
    account: Option<AccountKey>,
    user_id: UserId,
    renewed_hash: Option<&str>,
    network: ClientNetwork,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH known AS (
            INSERT INTO auth.known_networks (user_id, network, last_used_at)
            VALUES ($1, $2, clock_timestamp())
            ON CONFLICT (user_id, network) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
        ), others AS MATERIALIZED (
            SELECT network, last_used_at
            FROM auth.known_networks
            WHERE user_id = $1 AND network <> $2
        ), surplus AS (
            DELETE FROM auth.known_networks
            WHERE user_id = $1 AND network = ANY (ARRAY(
                SELECT network FROM others ORDER BY last_used_at DESC OFFSET 19
            ))
        )
        DELETE FROM auth.log_in_failures WHERE account = $3 AND network IN ('', $2)",
        user_id as UserId,
        network.to_string(),
        account.as_ref().map(AccountKey::as_bytes)
    )
    .execute(&mut *conn)
    .await?;
    if let Some(hash) = renewed_hash {
        users::set_password(conn, user_id, hash).await?;
    }
    Ok(())
}
