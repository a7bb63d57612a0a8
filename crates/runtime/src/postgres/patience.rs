//! Work that may take long, such as a migration, on a server that may vanish meanwhile.

use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::connect::{connect, connect_for_writes, options, timed_out};
use crate::config::PostgresConfig;

/// The session may take long to do something, but not to wait for the lock of a table: every later
/// statement on the table would wait behind it.
const SESSION: &str = "
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = '10s';
    SET tcp_keepalives_interval = '5s';
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '20s'";
/// How often the server is asked whether the session still exists.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a statement about the session may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The process of a session and when it began, in microseconds since the Unix epoch: no two sessions
/// of a server have both in common.
type SessionId = (i32, i64);

const OWN_SESSION: &str = "
    SELECT pid, (extract(epoch FROM backend_start) * 1000000)::BIGINT
    FROM pg_stat_activity
    WHERE pid = pg_backend_pid()";
const SESSION_EXISTS: &str = "
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::BIGINT = $2
    )";

/// Does work that may take long in a session of its own, on a server that takes writes and without
/// a statement timeout. A statement that waits for a lock for 2 s fails. Fails, too, when the server
/// that new connections reach is gone or does not have the session any more.
pub(super) async fn with_patient_session<T, F>(
    service: &'static str,
    config: &PostgresConfig,
    work: impl FnOnce(PgConnection) -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let options = options(service, config)?;
    let connection = connect_for_writes(&options, SESSION).await;
    let mut connection = connection.context("cannot connect to the database")?;
    let own_session = sqlx::query_as(OWN_SESSION).fetch_one(&mut connection);
    let session: SessionId = timeout(PROBE_TIMEOUT, own_session).await.map_err(timed_out)??;
    tokio::select! {
        result = work(connection) => result,
        () = until_gone(&options, session) => Err(timed_out(()).into()),
    }
}

async fn until_gone(options: &PgConnectOptions, session: SessionId) {
    loop {
        sleep(PROBE_INTERVAL).await;
        match exists(options, session).await {
            // An error of Postgres is an answer, for example that there are too many connections.
            Ok(true) | Err(sqlx::Error::Database(_)) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

async fn exists(options: &PgConnectOptions, (pid, begun_at): SessionId) -> sqlx::Result<bool> {
    let mut connection = connect(options).await?;
    let exists = sqlx::query_scalar(SESSION_EXISTS).bind(pid).bind(begun_at);
    let exists = timeout(PROBE_TIMEOUT, exists.fetch_one(&mut connection)).await;
    // The server ends the session of the probe when the socket closes.
    drop(connection.close_hard().await);
    exists.map_err(timed_out)?
}
