//! A Postgres and a Redis for the tests of one process. The first test that needs a server starts
//! it; it ends with the process.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use parlance_devstack::{
    Durability, Postgres, PostgresSettings, Redis, RedisSettings, TemporaryFolder, free_port,
    random_secret,
};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::OnceCell;

/// A server and its folder. The server is dropped first.
#[derive(Debug)]
pub struct InFolder<Server> {
    /// The server.
    pub server: Server,
    _folder: TemporaryFolder,
}

// The servers do not depend on the runtime of the test that starts them.
static POSTGRES: OnceCell<InFolder<Postgres>> = OnceCell::const_new();
static REDIS: OnceCell<InFolder<Redis>> = OnceCell::const_new();

/// Creates a database and returns its URL for the superuser.
pub async fn fresh_database() -> anyhow::Result<String> {
    static DATABASES: AtomicU64 = AtomicU64::new(0);

    let postgres = &POSTGRES.get_or_try_init(start_postgres).await?.server;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed) + 1);
    let mut connection = postgres.connect("postgres").await?;
    let statement = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
    connection.execute(statement).await.context("cannot create a database")?;
    connection.close().await?;
    Ok(postgres.url(&name))
}

/// The URL of the Redis that all tests of the process share, with the permissions of messaging.
pub async fn redis_url() -> anyhow::Result<String> {
    Ok(REDIS.get_or_try_init(start_redis).await?.server.url())
}

async fn start_postgres() -> anyhow::Result<InFolder<Postgres>> {
    let folder = TemporaryFolder::new()?;
    let server = Postgres::start(PostgresSettings {
        folder: folder.path().to_owned(),
        port: free_port()?,
        password: random_secret(),
        durability: Durability::Volatile,
        certificate: None,
    })
    .await?;
    Ok(InFolder { server, _folder: folder })
}

/// Starts a Redis for one test.
pub async fn start_redis() -> anyhow::Result<InFolder<Redis>> {
    let folder = TemporaryFolder::new()?;
    let server = Redis::start(RedisSettings {
        folder: folder.path().to_owned(),
        port: free_port()?,
        password: random_secret(),
        encrypted: None,
    })
    .await?;
    Ok(InFolder { server, _folder: folder })
}
