//! How connections are made and kept.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use opentelemetry::{KeyValue, global};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use super::pool::Pool;
use super::renewal;
use crate::config::PostgresConfig;

/// The settings of a session of a pool, and whether its server takes writes. Startup options would
/// spare the round trip, but PgBouncer refuses them.
///
/// * The statement timeout is below the shortest deadline of a caller, so that a slow statement
///   fails before its caller does.
/// * A transaction that its process has forgotten is ended: it would hold its locks, and hold up
///   what waits for older transactions.
/// * Postgres ends the session, and with it its locks, within half a minute of the host of this
///   process vanishing.
/// * Every statement is planned once for a connection, because planning anew for each set of arrays
///   takes longer than finding a dozen rows. Whatever the tables hold at that time, even nothing,
///   the plan finds rows by index, one by one, which suits every statement of a service. A small
///   table without an index is still read whole; the price that this gets makes Postgres compile
///   the statement, unless `jit` is off.
const SESSION: &str = "
    SET statement_timeout = '1500ms';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = '10s';
    SET tcp_keepalives_interval = '5s';
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '20s';
    SET plan_cache_mode = 'force_generic_plan';
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_material = off;
    SET jit = off;
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::BOOLEAN";
const IS_READ_ONLY: &str =
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::BOOLEAN";
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that was idle for longer is pinged before it is used: Postgres may have restarted
/// or vanished meanwhile.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);
/// Leaves a caller half of its time to connect anew.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// After this age a connection is replaced when it is released.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The pause after the server was refused, for example because it takes no writes.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);
/// How long a connection outside of a pool may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns a pool that connects when it is first used, to a server that takes writes. `service` is
/// its name in metrics and that of its connections in Postgres.
pub fn pool(service: &'static str, config: &PostgresConfig) -> anyhow::Result<Pool> {
    pool_with_check(service, config, |_| Box::pin(async { Ok(()) }))
}

/// The same with a check of every new connection. After an error of the check the pool tries again
/// until the caller's time is over.
pub(super) fn pool_with_check<F>(
    service: &'static str,
    config: &PostgresConfig,
    check: F,
) -> anyhow::Result<Pool>
where
    F: for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<()>> + Send + Sync + 'static,
{
    let check = Arc::new(check);
    let pool = PgPoolOptions::new()
        .max_connections(config.database_max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let check = check.clone();
            Box::pin(async move {
                let checked = match ensure_writable(connection, SESSION).await {
                    Ok(()) => check(connection).await,
                    Err(error) => Err(error),
                };
                if checked.is_err() {
                    tokio::time::sleep(REFUSAL_PAUSE).await;
                }
                checked
            })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if renewal::is_outdated(meta.age) {
                    return Ok(false);
                }
                if meta.idle_for >= MAX_UNCHECKED_IDLE {
                    timeout(PING_TIMEOUT, connection.ping()).await.map_err(timed_out)??;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options(service, config)?);
    observe(service, &pool);
    Ok(Pool::new(pool))
}

/// Exports how many connections the pool has and may have, with the names of OpenTelemetry's
/// semantic conventions.
fn observe(name: &'static str, pool: &PgPool) {
    let pool_name = KeyValue::new("db.client.connection.pool.name", name);
    let max_attributes = [pool_name.clone()];
    let meter = global::meter("parlance");
    let (counted, limited) = (pool.clone(), pool.clone());
    meter
        .i64_observable_up_down_counter("db.client.connection.count")
        .with_description("Connections to Postgres.")
        .with_callback(move |count| {
            let idle = i64::try_from(counted.num_idle()).unwrap_or(i64::MAX);
            let state = |state| KeyValue::new("db.client.connection.state", state);
            count.observe(idle, &[pool_name.clone(), state("idle")]);
            let used = i64::from(counted.size()).saturating_sub(idle);
            count.observe(used, &[pool_name.clone(), state("used")]);
        })
        .build();
    meter
        .i64_observable_up_down_counter("db.client.connection.max")
        .with_description("The most connections to Postgres.")
        .with_callback(move |max| {
            let limit = i64::from(limited.options().get_max_connections());
            max.observe(limit, &max_attributes);
        })
        .build();
}

/// How to connect, without settings of the session.
pub(super) fn options(
    service: &'static str,
    config: &PostgresConfig,
) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = config
        .database_url
        .expose_secret()
        .parse()
        .context("DATABASE_URL is not a Postgres URL")?;
    // PgBouncer does not know `extra_float_digits`.
    Ok(options.application_name(service).statement_cache_capacity(100).extra_float_digits(None))
}

/// Connects once, outside of a pool.
pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await.map_err(timed_out)?
}

/// Connects once to a server that takes writes, and gives the session these settings.
pub(super) async fn connect_for_writes(
    options: &PgConnectOptions,
    settings: &'static str,
) -> sqlx::Result<PgConnection> {
    let prepared = async {
        let mut connection = PgConnection::connect_with(options).await?;
        sqlx::raw_sql(settings).execute(&mut connection).await?;
        ensure_writable(&mut connection, IS_READ_ONLY).await?;
        Ok(connection)
    };
    timeout(CONNECT_TIMEOUT, prepared).await.map_err(timed_out)?
}

/// Returns an error unless the server takes writes. The statements end with the question whether it
/// does not.
async fn ensure_writable(
    connection: &mut PgConnection,
    statements: &'static str,
) -> sqlx::Result<()> {
    let row = sqlx::raw_sql(statements).fetch_one(connection).await?;
    if sqlx::Row::try_get(&row, 0)? {
        let text = "the server takes no writes: it is a standby, or read-only";
        return Err(sqlx::Error::Protocol(text.to_owned()));
    }
    Ok(())
}

/// The error of work that did not end in time.
pub(super) fn timed_out<E>(_: E) -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}
