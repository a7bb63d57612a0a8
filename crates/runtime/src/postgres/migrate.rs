//! The migrations of a service's schema.

use std::time::Duration;

use anyhow::Context;
use parlance_core::ErrorCode;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::sleep;

use super::connect::{connect, options};
use super::error::code_from_error;
use super::patience::with_patient_session;
use super::pooler::refuse_shared_sessions;
use crate::config::PostgresConfig;

const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Brings the schema up to date. Of several processes one does so, and the others wait for it.
/// Waits for a database that cannot be reached yet, for one that has become read-only, and for
/// locks: nothing else that uses a table waits behind a migration for longer than 2 s. Leaves a
/// schema that a later version of the service has migrated as it is: migrations are safe for the
/// version before, which may restart during an upgrade or after a rollback.
pub async fn migrate(
    service: &'static str,
    config: &PostgresConfig,
    migrator: &Migrator,
) -> anyhow::Result<()> {
    let options = options(service, config)?;
    let mut backoff = Duration::from_millis(100);
    loop {
        let migration = async |mut connection| {
            refuse_shared_sessions(&mut connection, &options).await?;
            migrate_on(connection, migrator).await
        };
        match with_patient_session(service, config, migration).await {
            Err(error) if is_passing(&error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot migrate the schema; retrying");
            }
            done => return done,
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// Returns true if the database is away, or a lock could not be had in time.
fn is_passing(error: &anyhow::Error) -> bool {
    let code = error.chain().find_map(|cause| cause.downcast_ref()).map(code_from_error);
    code == Some(ErrorCode::Unavailable)
}

async fn migrate_on(mut connection: PgConnection, migrator: &Migrator) -> anyhow::Result<()> {
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
    let options = options(service, config)?;
    let mut connection = connect(&options).await.context("cannot connect to the database")?;
    let applied = applied_versions(&mut connection, migrator).await?;
    let lines = migrator.iter().map(|migration| {
        let state = if applied.contains(&migration.version) { "applied" } else { "pending" };
        format!("{:>4}  {state}  {}\n", migration.version, migration.description)
    });
    Ok(lines.collect())
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
