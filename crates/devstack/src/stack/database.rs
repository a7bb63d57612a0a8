//! The database of a stack. Each service has a role and a schema, and sees no other schema.

use std::path::Path;

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::parts::{DATABASE, SERVICES};
use crate::Postgres;
use crate::secrets::Secrets;

/// The script that all deployments share.
const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");
const COUNT_STATEMENTS: &str = "DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements') THEN
        CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
    END IF;
END $$";

/// Makes the database, the roles and the schemas that do not exist, and sets the passwords.
pub(super) async fn prepare(
    postgres: &Postgres,
    folder: &Path,
    secrets: &Secrets,
) -> anyhow::Result<()> {
    create_database(postgres).await.context("cannot make the database")?;
    let mut passwords = Vec::new();
    for service in SERVICES {
        let password = secrets.role_password(service)?.to_owned();
        passwords.push((Secrets::role_password_name(service), password));
    }
    let log = folder.join("logs/roles.log");
    let script = postgres.run_script(DATABASE, ROLES, passwords, log).await;
    script.context("cannot make roles and schemas")
}

/// Enables `pg_stat_statements` if the system has it. Tests count statements with it.
pub(super) async fn count_statements(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect(DATABASE).await?;
    connection.execute(COUNT_STATEMENTS).await?;
    Ok(connection.close().await?)
}

async fn create_database(postgres: &Postgres) -> anyhow::Result<()> {
    const EXISTS: &str = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let mut connection = postgres.connect("postgres").await?;
    let exists: bool = sqlx::query_scalar(EXISTS).bind(DATABASE).fetch_one(&mut connection).await?;
    if !exists {
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    }
    Ok(connection.close().await?)
}
