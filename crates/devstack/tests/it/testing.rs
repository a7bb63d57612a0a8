//! The databases and the Redis that are shared by the tests of a process.

use parlance_devstack::testing::{fresh_database, redis_url};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn fresh_databases_are_empty_and_separate() {
    let mut first = PgConnection::connect(&fresh_database().await.unwrap()).await.unwrap();
    let mut second = PgConnection::connect(&fresh_database().await.unwrap()).await.unwrap();

    first.execute("CREATE TABLE only_in_first (id BIGINT)").await.unwrap();

    assert_eq!(tables(&mut first).await, 1);
    assert_eq!(tables(&mut second).await, 0);
}

#[test]
fn the_servers_outlive_the_runtime_that_started_them() {
    let first = on_a_runtime_of_its_own(fresh_database());
    let second = on_a_runtime_of_its_own(async {
        let mut connection = PgConnection::connect(&first).await?;
        connection.execute("SELECT 1").await?;
        fresh_database().await
    });
    assert_ne!(first, second);
}

#[tokio::test]
async fn redis_answers_who_knows_its_password_and_nobody_else() {
    let url = redis_url().await.unwrap();
    let (password, address) = url.strip_prefix("redis://default:").unwrap().split_once('@').unwrap();

    assert_eq!(answer(address, &format!("AUTH {password}\r\nPING\r\n"), 12).await, "+OK\r\n+PONG\r\n");
    assert!(answer(address, "PING\r\n", 7).await.starts_with("-NOAUTH"));
}

fn on_a_runtime_of_its_own<T>(future: impl Future<Output = anyhow::Result<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future).unwrap()
}

async fn tables(connection: &mut PgConnection) -> i64 {
    const SQL: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    sqlx::query_scalar(SQL).fetch_one(connection).await.unwrap()
}

async fn answer(address: &str, request: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
