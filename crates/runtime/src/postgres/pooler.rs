//! Refuses a pooler in transaction mode.
//!
//! In that mode each transaction of a client may run on another connection to Postgres. The
//! settings of sessions, the lock of the migrations and prepared statements need one that stays.

use std::time::Duration;

use anyhow::bail;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::connect::{connect, timed_out};

/// Far longer than the statements take, unless the pooler makes them wait for each other.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A setting that nothing but this module sets. Simple statements, because prepared ones may fail
/// with such a pooler.
const READ_MARK: &str = "SELECT coalesce(current_setting('parlance.session', TRUE), '')";
const READ_MARK_IN_TRANSACTION: &str =
    "BEGIN; SELECT coalesce(current_setting('parlance.session', TRUE), '')";

/// Returns an error that says what to do if two clients can get the same session of Postgres.
///
/// One client marks its session. While a second client is in a transaction, the first one must
/// still see its mark, and the second must not see it.
pub(super) async fn refuse_shared_sessions(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> anyhow::Result<()> {
    let mut second = connect(options).await?;
    let mark = Uuid::new_v4().to_string();
    let seen = async {
        let set_mark = sqlx::AssertSqlSafe(format!("SET parlance.session = '{mark}'"));
        sqlx::raw_sql(set_mark).execute(&mut *first).await?;
        let by_second = read_mark(&mut second, READ_MARK_IN_TRANSACTION).await?;
        if by_second == mark { Ok(None) } else { read_mark(first, READ_MARK).await.map(Some) }
    };
    let seen = timeout(TIMEOUT, seen).await.map_err(timed_out)??;
    second.close().await?;
    if seen != Some(mark) {
        bail!(
            "DATABASE_URL leads to a pooler in transaction mode, which gives a session of Postgres \
             to several clients: use session mode, or connect to Postgres itself"
        );
    }
    Ok(())
}

async fn read_mark(
    connection: &mut PgConnection,
    statements: &'static str,
) -> sqlx::Result<String> {
    let row = sqlx::raw_sql(statements).fetch_one(connection).await?;
    sqlx::Row::try_get(&row, 0)
}
