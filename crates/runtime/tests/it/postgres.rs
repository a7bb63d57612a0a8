//! What a pool does when its server falls silent, becomes read-only or changes a table.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres::{self, Pool, code_from_error};
use parlance_testkit::{Network, eventually, fresh_database, start_postgres, start_standby};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// As a caller of a service has.
const DEADLINE: Duration = Duration::from_secs(2);
/// What is promised after a host has vanished and another one has its address.
const RECOVERY: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: u32 = 4;

fn pool(url: &str) -> Pool {
    let config = PostgresConfig {
        database_url: url.to_owned().into(),
        database_max_connections: MAX_CONNECTIONS,
        standby_is_synchronous: false,
    };
    postgres::pool("test", &config).unwrap()
}

/// Runs a statement as a service does: it takes a connection and gives up after the deadline.
async fn call(pool: &Pool, statement: &'static str) -> Result<(), ErrorCode> {
    let work = async {
        let called = async {
            sqlx::query(statement).execute(&mut *pool.acquire().await?).await?;
            Ok(())
        };
        called.await.inspect_err(postgres::note_error)
    };
    let result = timeout(DEADLINE, work).await.map_err(|_| ErrorCode::Unavailable)?;
    result.map_err(|error| code_from_error(&error))
}

async fn succeeds(pool: &Pool) -> bool {
    call(pool, "SELECT 1").await.is_ok()
}

/// Calls on all connections at once.
async fn call_on_all(pool: &Pool, statement: &'static str) -> Vec<Result<(), ErrorCode>> {
    let mut calls = JoinSet::new();
    for _ in 0..MAX_CONNECTIONS {
        let pool = pool.clone();
        calls.spawn(async move { call(&pool, statement).await });
    }
    calls.join_all().await
}

#[tokio::test]
async fn a_host_that_vanishes_is_left_within_seconds_of_the_address_leading_to_another() {
    let server = start_postgres().await.unwrap();
    let network = Network::to(server.server.address()).await.unwrap();
    let pool = pool(&network.url(&server.server.url("postgres")));
    let all_is_well = vec![Ok(()); MAX_CONNECTIONS as usize];
    // Every connection exists, and each has a statement when the host vanishes.
    assert_eq!(call_on_all(&pool, "SELECT pg_sleep(0.2)").await, all_is_well);
    let calls = call_on_all(&pool, "SELECT pg_sleep(1)");
    let vanish = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        network.vanish();
    };
    let (results, ()) = tokio::join!(calls, vanish);
    assert_eq!(results, vec![Err(ErrorCode::Unavailable); MAX_CONNECTIONS as usize]);
    let refused = Instant::now();
    assert_eq!(call(&pool, "SELECT 1").await, Err(ErrorCode::Unavailable));
    assert!(refused.elapsed() <= DEADLINE + Duration::from_millis(500));

    network.lead_to(server.server.address());
    eventually(RECOVERY, "a call succeeds", || succeeds(&pool)).await;
    assert_eq!(call_on_all(&pool, "SELECT pg_sleep(0.2)").await, all_is_well);
}

#[tokio::test]
async fn idle_connections_to_a_host_that_has_vanished_cost_no_call() {
    let server = start_postgres().await.unwrap();
    let network = Network::to(server.server.address()).await.unwrap();
    let pool = pool(&network.url(&server.server.url("postgres")));
    call_on_all(&pool, "SELECT pg_sleep(0.2)").await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    network.lead_to(server.server.address());
    for _ in 0..MAX_CONNECTIONS {
        assert_eq!(call(&pool, "SELECT 1").await, Ok(()));
    }
}

#[tokio::test]
async fn a_server_whose_processes_are_stopped_is_left_for_another() {
    let (hung, other) = tokio::join!(start_postgres(), start_postgres());
    let (hung, other) = (hung.unwrap(), other.unwrap());
    let network = Network::to(hung.server.address()).await.unwrap();
    // Both have the same password for the test's sake.
    let mut superuser = other.server.connect("postgres").await.unwrap();
    let password =
        sqlx::AssertSqlSafe(format!("ALTER ROLE postgres PASSWORD '{}'", hung.server.password()));
    superuser.execute(password).await.unwrap();
    let pool = pool(&network.url(&hung.server.url("postgres")));
    call_on_all(&pool, "SELECT pg_sleep(0.2)").await;
    let _paused = hung.server.pause().unwrap();
    for result in call_on_all(&pool, "SELECT 1").await {
        assert_eq!(result, Err(ErrorCode::Unavailable));
    }
    network.lead_to(other.server.address());
    eventually(RECOVERY, "a call succeeds", || succeeds(&pool)).await;
}

#[tokio::test]
async fn a_statement_whose_caller_has_gone_frees_its_connection() {
    let pool = pool(&fresh_database().await.unwrap());
    for _ in 0..MAX_CONNECTIONS {
        let sleep = async {
            sqlx::query("SELECT pg_sleep(1.4)").execute(&mut *pool.acquire().await?).await
        };
        assert!(timeout(Duration::from_millis(100), sleep).await.is_err());
    }
    let begin = Instant::now();
    assert_eq!(call(&pool, "SELECT 1").await, Ok(()));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() {
    let pool = pool(&fresh_database().await.unwrap());
    call(&pool, "CREATE TABLE numbers (number INT)").await.unwrap();
    let mut dropped = pool.begin().await.unwrap();
    dropped.execute("INSERT INTO numbers VALUES (1)").await.unwrap();
    drop(dropped);
    let mut rolled_back = pool.begin().await.unwrap();
    rolled_back.execute("INSERT INTO numbers VALUES (2)").await.unwrap();
    rolled_back.rollback().await.unwrap();
    let mut committed = pool.begin().await.unwrap();
    committed.execute("INSERT INTO numbers VALUES (3)").await.unwrap();
    committed.commit().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let numbers: Vec<i32> =
        sqlx::query_scalar("SELECT number FROM numbers").fetch_all(&mut *connection).await.unwrap();
    assert_eq!(numbers, [3]);
}

#[tokio::test]
async fn a_standby_is_refused_until_it_is_promoted() {
    let primary = start_postgres().await.unwrap();
    let standby = start_standby(&primary.server).await.unwrap();
    let pool = pool(&standby.server.url("postgres"));
    assert_eq!(call(&pool, "SELECT 1").await, Err(ErrorCode::Unavailable));
    let mut superuser = standby.server.connect("postgres").await.unwrap();
    superuser.execute("SELECT pg_promote()").await.unwrap();
    eventually(RECOVERY, "a call succeeds", || succeeds(&pool)).await;
}

#[tokio::test]
async fn connections_to_a_server_that_becomes_read_only_are_replaced() {
    let server = start_postgres().await.unwrap();
    let other = start_standby(&server.server).await.unwrap();
    let network = Network::to(server.server.address()).await.unwrap();
    let pool = pool(&network.url(&server.server.url("postgres")));
    const WRITE: &str = "CREATE TABLE IF NOT EXISTS written (number INT)";
    assert_eq!(call_on_all(&pool, "SELECT pg_sleep(0.2)").await.len(), MAX_CONNECTIONS as usize);
    assert_eq!(call(&pool, WRITE).await, Ok(()));

    let mut superuser = server.server.connect("postgres").await.unwrap();
    superuser.execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    superuser.execute("SELECT pg_reload_conf()").await.unwrap();
    let mut promoted = other.server.connect("postgres").await.unwrap();
    promoted.execute("SELECT pg_promote()").await.unwrap();
    eventually(RECOVERY, "the server is read-only", async || {
        call(&pool, WRITE).await == Err(ErrorCode::Unavailable)
    })
    .await;
    network.lead_to(other.server.address());
    // The first error has condemned all connections of before.
    assert_eq!(call_on_all(&pool, WRITE).await, vec![Ok(()); MAX_CONNECTIONS as usize]);
}

#[tokio::test]
async fn a_table_that_changes_under_a_running_program_costs_at_most_one_call() {
    let database = fresh_database().await.unwrap();
    let pool = pool(&database);
    const READ: &str = "SELECT * FROM changing";
    let mut other = PgConnection::connect(&database).await.unwrap();
    other.execute("CREATE TABLE changing (number INT)").await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query(READ).execute(&mut *connection).await.unwrap();
    other.execute("ALTER TABLE changing ALTER number TYPE BIGINT").await.unwrap();
    let error = sqlx::query(READ).execute(&mut *connection).await.unwrap_err();
    assert_eq!(code_from_error(&error), ErrorCode::Unavailable);
    postgres::note_error(&error);
    drop(connection);
    assert_eq!(call(&pool, READ).await, Ok(()));
}

#[tokio::test]
async fn sessions_end_slow_statements_and_forgotten_transactions() {
    let pool = pool(&fresh_database().await.unwrap());
    let mut connection = pool.acquire().await.unwrap();
    for (name, expected) in
        [("statement_timeout", "1500ms"), ("idle_in_transaction_session_timeout", "10s")]
    {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(value, expected, "{name}");
    }
}
