//! The databases and the Redis that are shared by the tests of a process.

use parlance_testkit::{fresh_database, redis_url};
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
    let (password, address) =
        url.strip_prefix("redis://messaging:").unwrap().split_once('@').unwrap();

    let log_in = format!("AUTH messaging {password}\r\nPING\r\n");
    assert_eq!(answer(address, &log_in, 12).await, "+OK\r\n+PONG\r\n");
    assert!(answer(address, &format!("AUTH {password}\r\n"), 10).await.starts_with("-WRONGPASS"));
    assert!(answer(address, "PING\r\n", 7).await.starts_with("-NOAUTH"));
}

#[tokio::test]
async fn messaging_may_use_the_channels_of_rooms_in_redis_and_nothing_else() {
    for allowed in [
        "PING",
        "INFO",
        "CLIENT ID",
        "SPUBLISH room:1 x",
        "SSUBSCRIBE room:1",
        "SUNSUBSCRIBE room:1",
    ] {
        let answer = answer_to_messaging(allowed).await;
        assert!(!answer.starts_with('-'), "{allowed}: {answer}");
    }
    for refused in [
        "GET room:1",
        "SET room:1 x",
        "DEL room:1",
        "LPUSH room:1 x",
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "EVAL return 0",
        "SPUBLISH other x",
        "SPUBLISH room x",
        "SSUBSCRIBE other",
        "PUBLISH room:1 x",
        "SUBSCRIBE room:1",
        "PSUBSCRIBE *",
        "PUBSUB SHARDCHANNELS",
        "CLIENT LIST",
        "CLIENT KILL TYPE pubsub",
        "CONFIG GET *",
        "ACL LIST",
        "MONITOR",
        "SHUTDOWN",
    ] {
        let answer = answer_to_messaging(refused).await;
        assert!(answer.starts_with("-NOPERM"), "{refused}: {answer}");
    }
}

fn on_a_runtime_of_its_own<T>(future: impl Future<Output = anyhow::Result<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future).unwrap()
}

async fn tables(connection: &mut PgConnection) -> i64 {
    const SQL: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    sqlx::query_scalar(SQL).fetch_one(connection).await.unwrap()
}

/// What Redis answers to one command of messaging.
async fn answer_to_messaging(command: &str) -> String {
    let url = redis_url().await.unwrap();
    let (login, address) = url.strip_prefix("redis://").unwrap().split_once('@').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines = format!("AUTH {}\r\n{command}\r\nQUIT\r\n", login.replace(':', " "));
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.strip_prefix("+OK\r\n").unwrap().to_owned()
}

async fn answer(address: &str, request: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
