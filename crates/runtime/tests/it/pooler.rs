//! PgBouncer between a service and Postgres.

use parlance_devstack::{PgBouncer, PoolMode, TemporaryFolder, free_port};
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_testkit::start_postgres;
use sqlx::Executor;
use sqlx::migrate::Migrator;

const NO_MIGRATIONS: Migrator = Migrator::DEFAULT;

/// Starts a Postgres and a pooler, and runs a service's first steps through it.
async fn use_pooler(mode: PoolMode) -> anyhow::Result<i64> {
    let server = start_postgres().await?;
    let folder = TemporaryFolder::new()?;
    let pooler = PgBouncer::start(&server.server, mode, folder.path(), free_port()?).await?;
    let config = PostgresConfig {
        database_url: pooler.url("postgres").into(),
        database_max_connections: 4,
        standby_is_synchronous: false,
    };
    postgres::migrate("test", &config, &NO_MIGRATIONS).await?;
    let pool = postgres::pool("test", &config)?;
    let mut connection = pool.acquire().await?;
    let statement = "SELECT $1 + 1 WHERE current_setting('statement_timeout') = '1500ms'";
    let sum = sqlx::query_scalar(statement).bind(1_i64).fetch_one(&mut *connection).await?;
    let mut transaction = pool.begin().await?;
    transaction.execute("CREATE TABLE numbers (number INT)").await?;
    transaction.commit().await?;
    Ok(sum)
}

#[tokio::test]
async fn a_pooler_in_session_mode_works() {
    assert_eq!(use_pooler(PoolMode::Session).await.unwrap(), 2);
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_at_start_with_the_reason() {
    let error = format!("{:#}", use_pooler(PoolMode::Transaction).await.unwrap_err());
    assert!(error.contains("transaction mode") && error.contains("session mode"), "{error}");
}
