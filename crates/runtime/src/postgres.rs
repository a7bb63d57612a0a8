//! A Postgres pool with timeouts, and the migrations of a service's schema.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::{KeyValue, global};
use parlance_core::ErrorCode;
use secrecy::ExposeSecret;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::config::PostgresConfig;

/// Below the shortest deadline of a caller, so that a slow statement fails before its caller does.
const STATEMENT_TIMEOUT: &str = "1500ms";
/// Every statement is planned once for a connection, because planning anew for each set of arrays
/// takes longer than finding a dozen rows. Whatever the tables hold at that time, even nothing, the
/// plan finds rows by index, one by one, which suits every statement of a service. A small table
/// without an index is still read whole; the price that this gets makes Postgres compile the
/// statement, unless `jit` is off.
const PLANNER_OPTIONS: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("jit", "off"),
];
/// A connection that was idle for longer is pinged before it is used: Postgres may have restarted
/// meanwhile.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// Returns a pool that connects when it is first used. `service` is its name in metrics and that of
/// its connections in Postgres.
pub fn pool(service: &'static str, config: &PostgresConfig) -> anyhow::Result<PgPool> {
    let options = connect_options(service, config)?
        .options([("statement_timeout", STATEMENT_TIMEOUT)])
        .options(PLANNER_OPTIONS);
    let pool = PgPoolOptions::new()
        .max_connections(config.database_max_connections)
        .acquire_timeout(Duration::from_secs(1))
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < MAX_UNCHECKED_IDLE || connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options);
    observe(service, &pool);
    Ok(pool)
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

/// Brings the schema up to date. Of several processes one does so, and the others wait for it.
/// Waits for a database that cannot be reached yet. Leaves a schema that a later version of the
/// service has migrated as it is: migrations are safe for the version before, which may restart
/// during an upgrade or after a rollback.
pub async fn migrate(
    service: &'static str,
    config: &PostgresConfig,
    migrator: &Migrator,
) -> anyhow::Result<()> {
    let options = connect_options(service, config)?;
    let mut connection = connect_with_retries(&options).await?;
    let before = applied_versions(&mut connection, migrator).await?;
    let is_unknown = |version: &&i64| !migrator.version_exists(**version);
    let unknown: Vec<i64> = before.iter().filter(is_unknown).copied().collect();
    if !unknown.is_empty() {
        tracing::warn!(
            versions = ?unknown,
            "the database was migrated by another version of this service"
        );
    }
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let mut migrator = without_existing_schemas(migrator, &mut connection).await?;
    migrator.set_ignore_missing(unknown.iter().all(|&version| version > newest));
    migrator.run(&mut connection).await.map_err(explain)?;
    let after = applied_versions(&mut connection, &migrator).await?;
    let applied = after.len().saturating_sub(before.len());
    tracing::info!(applied, newest, "the schema is up to date");
    connection.close().await?;
    Ok(())
}

/// Returns one line for each migration: its number, whether it is applied, and its name.
pub async fn migration_status(
    service: &'static str,
    config: &PostgresConfig,
    migrator: &Migrator,
) -> anyhow::Result<String> {
    let options = connect_options(service, config)?;
    let mut connection =
        PgConnection::connect_with(&options).await.context("cannot connect to the database")?;
    let applied = applied_versions(&mut connection, migrator).await?;
    let lines = migrator.iter().map(|migration| {
        let state = if applied.contains(&migration.version) { "applied" } else { "pending" };
        format!("{:>4}  {state}  {}\n", migration.version, migration.description)
    });
    Ok(lines.collect())
}

/// Returns the error code of a failed statement: Postgres is away or overloaded, or the statement
/// is wrong.
pub fn code_from_error(error: &sqlx::Error) -> ErrorCode {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => ErrorCode::Unavailable,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // Connection exceptions, insufficient resources, operator intervention (shutdown,
            // statement timeout), system errors, and transactions that may be tried again;
            // read-only and authorisation errors come with a fail-over.
            Some(code)
                if ["08", "53", "57", "58", "40", "25", "28"]
                    .contains(&code.get(..2).unwrap_or("")) =>
            {
                ErrorCode::Unavailable
            }
            Some("55P03") => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        },
        _ => ErrorCode::Internal,
    }
}

/// Returns true if a statement waited too long for a lock (`lock_not_available`).
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}

fn connect_options(
    service: &'static str,
    config: &PostgresConfig,
) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = config
        .database_url
        .expose_secret()
        .parse()
        .context("DATABASE_URL is not a Postgres URL")?;
    Ok(options.application_name(service).statement_cache_capacity(100))
}

async fn connect_with_retries(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let mut backoff = Duration::from_millis(100);
    loop {
        match PgConnection::connect_with(options).await {
            Ok(connection) => return Ok(connection),
            Err(error) if code_from_error(&error) == ErrorCode::Unavailable => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "cannot connect to the database; retrying"
                );
            }
            Err(error) => return Err(error).context("cannot connect to the database"),
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(Duration::from_secs(2));
    }
}

/// Returns a migrator that creates only the schemas that are missing. Postgres refuses even `CREATE
/// SCHEMA IF NOT EXISTS` to a role that may create no schema.
async fn without_existing_schemas(
    migrator: &Migrator,
    connection: &mut PgConnection,
) -> anyhow::Result<Migrator> {
    let schemas: Vec<&str> = migrator.create_schemas.iter().map(AsRef::as_ref).collect();
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM UNNEST($1::TEXT[]) AS schema (name) \
         WHERE to_regnamespace(quote_ident(name)) IS NULL",
    )
    .bind(schemas)
    .fetch_all(connection)
    .await?;
    Ok(Migrator {
        migrations: migrator.migrations.clone(),
        table_name: migrator.table_name.clone(),
        create_schemas: missing.into_iter().map(Into::into).collect(),
        ..Migrator::DEFAULT
    })
}

async fn applied_versions(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> anyhow::Result<Vec<i64>> {
    let table = migrator.table_name.as_ref();
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    // The name comes from the service's sqlx.toml, not from outside.
    let statement = sqlx::AssertSqlSafe(format!("SELECT version FROM {table} WHERE success"));
    let rows = connection.fetch_all(statement).await?;
    rows.iter().map(|row| Ok(sqlx::Row::try_get(row, 0)?)).collect()
}

fn explain(error: MigrateError) -> anyhow::Error {
    let advice = match &error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooOld(..) => {
            "the database was built by other migrations than this service has: restore these \
             migrations, or start with an empty database (`make reset` in development)"
        }
        _ => "the schema could not be brought up to date",
    };
    anyhow::Error::new(error).context(advice)
}
