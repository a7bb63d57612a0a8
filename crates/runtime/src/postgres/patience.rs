//! Work that may take long, such as a migration, on a server that may vanish meanwhile.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

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
/// How often the server is asked for a sign of life.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Connects once to a server that takes writes, for work without a statement timeout. A statement
/// that waits for a lock for 2 s fails.
pub(super) async fn connect_patiently(
    service: &'static str,
    config: &PostgresConfig,
) -> anyhow::Result<PgConnection> {
    Ok(connect_for_writes(&options(service, config)?, SESSION).await?)
}

/// Does work that may take long. Fails when the server cannot be reached any more.
pub(super) async fn while_reachable<T>(
    service: &'static str,
    config: &PostgresConfig,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let options = options(service, config)?;
    tokio::select! {
        result = work => result,
        () = until_unreachable(&options) => Err(timed_out(()).into()),
    }
}

async fn until_unreachable(options: &PgConnectOptions) {
    loop {
        sleep(PROBE_INTERVAL).await;
        match connect(options).await {
            // The server ends the session when the socket closes.
            Ok(connection) => drop(connection.close_hard().await),
            // An answer, for example that there are too many connections.
            Err(sqlx::Error::Database(_)) => {}
            Err(_) => return,
        }
    }
}
