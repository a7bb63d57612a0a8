//! What tests of one service need: empty databases and a Redis. The first test that asks starts the
//! servers, all tests of the process share them, and they end with the process.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::OnceCell;

use crate::folder::TemporaryFolder;
use crate::postgres::{Durability, Postgres, Settings};
use crate::secrets::random_secret;
use crate::{Redis, free_port, redis};

/// A server and the folder it works in; the server is dropped first.
#[derive(Debug)]
pub struct InFolder<Server> {
    /// The server.
    pub server: Server,
    _folder: TemporaryFolder,
}

// Neither is bound to the runtime of the test that happens to start it.
static POSTGRES: OnceCell<InFolder<Postgres>> = OnceCell::const_new();
static REDIS: OnceCell<InFolder<Redis>> = OnceCell::const_new();

/// The URL of a new, empty database, for a role that may do everything in it.
pub async fn fresh_database() -> anyhow::Result<String> {
    static LAST: AtomicU64 = AtomicU64::new(0);

    let postgres = &POSTGRES.get_or_try_init(start_postgres).await?.server;
    let name = format!("test_{}", LAST.fetch_add(1, Ordering::Relaxed) + 1);
    let mut connection = postgres.connect("postgres").await?;
    let statement = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
    connection.execute(statement).await.context("cannot create a database")?;
    connection.close().await?;
    Ok(postgres.url(&name))
}

/// The URL of the Redis that all tests of the process share, for who may do what messaging may.
pub async fn redis_url() -> anyhow::Result<String> {
    let redis = &REDIS.get_or_try_init(start_redis).await?.server;
    Ok(redis.url())
}

async fn start_postgres() -> anyhow::Result<InFolder<Postgres>> {
    let folder = TemporaryFolder::new()?;
    let server = Postgres::start(Settings {
        folder: folder.path().to_owned(),
        port: free_port()?,
        password: random_secret(),
        durability: Durability::Fleeting,
        certificate: None,
    })
    .await?;
    Ok(InFolder { server, _folder: folder })
}

/// A Redis that nobody else uses, for as long as it is kept.
pub async fn start_redis() -> anyhow::Result<InFolder<Redis>> {
    let folder = TemporaryFolder::new()?;
    let (folder_path, port) = (folder.path().to_owned(), free_port()?);
    let settings =
        redis::Settings { folder: folder_path, port, password: random_secret(), encrypted: None };
    let server = Redis::start(settings).await?;
    Ok(InFolder { server, _folder: folder })
}
