//! The database of a stack: each service has a role, and each role a schema, the only one it can see.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::DATABASE;
use super::parts::SERVICES;
use crate::Postgres;
use crate::secrets::Secrets;

/// Makes what is missing, and gives the roles their passwords.
pub(super) async fn prepare(postgres: &Postgres, secrets: &Secrets) -> anyhow::Result<()> {
    make_database(postgres).await.context("cannot make the database")?;
    let mut connection = postgres.connect(DATABASE).await?;
    connection
        .execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        .await
        .context("cannot close the schema `public`")?;
    for service in SERVICES {
        make_role_and_schema(&mut connection, service, secrets.of_role(service)?)
            .await
            .with_context(|| format!("cannot make the role and the schema of {service}"))?;
    }
    connection.close().await?;
    Ok(())
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
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    }
    // What PUBLIC has by default would let every role make temporary tables, and any later role connect.
    connection.execute(AssertSqlSafe(format!("REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC"))).await?;
    connection.close().await?;
    Ok(())
}

/// The names are this crate's own and the password is made of letters and digits, so both can stand in the statements.
async fn make_role_and_schema(
    connection: &mut PgConnection,
    service: &str,
    password: &str,
) -> sqlx::Result<()> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(service)
        .fetch_one(&mut *connection)
        .await?;
    let verb = if exists { "ALTER" } else { "CREATE" };
    let statements = format!(
        "{verb} ROLE {service} LOGIN PASSWORD '{password}';
         GRANT CONNECT ON DATABASE {DATABASE} TO {service};
         CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {service}"
    );
    connection.execute(AssertSqlSafe(statements)).await.map(drop)
}
