//! The database of a stack: each service has a role, and each role a schema, the only one it can
//! see.

use std::path::Path;

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::DATABASE;
use super::parts::SERVICES;
use crate::Postgres;
use crate::secrets::Secrets;

/// What every Postgres of Parlance runs, wherever it is.
const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");

/// Makes what is missing, and gives the roles their passwords.
pub(super) async fn prepare(
    postgres: &Postgres,
    folder: &Path,
    secrets: &Secrets,
) -> anyhow::Result<()> {
    make_database(postgres).await.context("cannot make the database")?;
    let mut passwords = Vec::new();
    for service in SERVICES {
        passwords.push((Secrets::name_of_role(service), secrets.of_role(service)?.to_owned()));
    }
    let log = folder.join("logs/roles.log");
    postgres
        .run_script(DATABASE, ROLES, passwords, log)
        .await
        .context("cannot make roles and schemas")
}

/// Lets tests count statements, where the system has the module for that.
pub(super) async fn count_statements(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect(DATABASE).await?;
    connection
        .execute(
            "DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements') THEN
                    CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
                END IF;
            END $$",
        )
        .await?;
    connection.close().await?;
    Ok(())
}

async fn make_database(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect("postgres").await?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
    if !exists {
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    }
    connection.close().await?;
    Ok(())
}
