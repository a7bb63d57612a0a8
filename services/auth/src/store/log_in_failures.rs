//! The table `auth.log_in_failures`.

use parlance_core::Timestamp;
use sqlx::PgConnection;

use crate::account::AccountKey;
use crate::client_network::ClientNetwork;
use crate::guessing::Failures;

/// Takes the one try that is due after these failures, of the account or of one network: later
/// ones wait as after a failure now. False if another try was faster.
pub(crate) async fn claim_try(
    conn: &mut PgConnection,
    account: AccountKey,
    network: Option<ClientNetwork>,
    failures: Failures,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE auth.log_in_failures
        SET last_failed_at = clock_timestamp()
        WHERE account = $1 AND network = $2 AND last_failed_at = $3",
        account.as_bytes(),
        network.map_or_else(String::new, |network| network.to_string()),
        failures.last_failed_at
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Counts a failure, of the account and of the network. Returns how many the account now has in a
/// row.
pub(crate) async fn add(
    conn: &mut PgConnection,
    account: AccountKey,
    network: ClientNetwork,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"WITH counted AS (
            INSERT INTO auth.log_in_failures AS stored
                (account, network, failures, last_failed_at)
            VALUES ($1, '', 1, clock_timestamp()), ($1, $2, 1, clock_timestamp())
            ON CONFLICT (account, network) DO UPDATE SET
                failures = CASE
                    WHEN stored.last_failed_at > clock_timestamp() - INTERVAL '1 hour'
                        THEN least(stored.failures, 1000000) + 1
                    ELSE 1
                END,
                last_failed_at = clock_timestamp()
            RETURNING network, failures
        )
        SELECT failures AS "failures!" FROM counted WHERE network = ''"#,
        account.as_bytes(),
        network.to_string()
    )
    .fetch_one(conn)
    .await
}

/// Forgets the failures of the account and of the network. The index gives the two rows in the order
/// in which `add` locks them.
pub(crate) async fn clear(
    conn: &mut PgConnection,
    account: AccountKey,
    network: ClientNetwork,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM auth.log_in_failures WHERE account = $1 AND network IN ('', $2)",
        account.as_bytes(),
        network.to_string()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The number of accounts with at least so many failures in a row, the last within five minutes. Up
/// to 10,000 are counted.
pub(crate) async fn count_accounts(conn: &mut PgConnection, failures: i32) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
            SELECT FROM auth.log_in_failures
            WHERE network = ''
                AND failures >= 5
                AND failures >= $1
                AND last_failed_at > now() - INTERVAL '5 minutes'
            LIMIT 10000
        ) AS waiting"#,
        failures
    )
    .fetch_one(conn)
    .await
}

/// Returns the time of the newest row beyond the newest `max_rows`, if there are more.
pub(crate) async fn find_surplus(
    conn: &mut PgConnection,
    max_rows: i64,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        "SELECT last_failed_at FROM auth.log_in_failures
        ORDER BY last_failed_at DESC
        OFFSET $1
        LIMIT 1",
        max_rows
    )
    .fetch_optional(conn)
    .await
}

/// Deletes rows that are void after an hour, and those up to this time: the oldest, at most
/// `limit`. Returns how many it deleted.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    up_to: Option<Timestamp>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM auth.log_in_failures
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM auth.log_in_failures
            WHERE last_failed_at <= GREATEST(now() - INTERVAL '1 hour', $1)
            ORDER BY last_failed_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))",
        up_to,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
