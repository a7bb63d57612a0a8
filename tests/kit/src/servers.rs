//! A Postgres and a Redis for the tests of one process. The first test that needs a server starts
//! it; it ends with the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::{
    Durability, Postgres, PostgresSettings, Redis, RedisRole, RedisSettings, TemporaryFolder,
    free_port, random_secret,
};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::OnceCell;

use crate::wait::eventually;

const CLUSTER_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Starts a Postgres for one test.
pub async fn start_postgres() -> anyhow::Result<InFolder<Postgres>> {
    start_postgres_in(TemporaryFolder::new()?, random_secret()).await
}

/// Starts a standby that follows a Postgres.
pub async fn start_standby(primary: &Postgres) -> anyhow::Result<InFolder<Postgres>> {
    let folder = TemporaryFolder::new()?;
    primary.copy_as_standby(folder.path()).await?;
    start_postgres_in(folder, primary.password().to_owned()).await
}

async fn start_postgres_in(
    folder: TemporaryFolder,
    password: String,
) -> anyhow::Result<InFolder<Postgres>> {
    let server = Postgres::start(PostgresSettings {
        folder: folder.path().to_owned(),
        port: free_port()?,
        password,
        durability: Durability::Volatile,
        certificate: None,
    })
    .await?;
    Ok(InFolder { server, _folder: folder })
}

/// Starts a Redis for one test.
pub async fn start_redis() -> anyhow::Result<InFolder<Redis>> {
    start_redis_as(RedisRole::Alone, random_secret()).await
}

/// Starts a Redis for one test, with a role in a group and the password of messaging.
pub async fn start_redis_as(role: RedisRole, password: String) -> anyhow::Result<InFolder<Redis>> {
    let folder = TemporaryFolder::new()?;
    let server = Redis::start(RedisSettings {
        folder: folder.path().to_owned(),
        port: free_port()?,
        password,
        encrypted: None,
        role,
    })
    .await?;
    Ok(InFolder { server, _folder: folder })
}

/// Starts a Redis Cluster of three nodes for one test.
pub async fn start_redis_cluster() -> anyhow::Result<Vec<InFolder<Redis>>> {
    const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];
    let password = random_secret();
    let mut nodes: Vec<InFolder<Redis>> = Vec::new();
    let mut first = None;
    for slots in SLOTS {
        let bus = free_port()?;
        let node = start_redis_as(RedisRole::ClusterNode(bus), password.clone()).await?;
        node.server.operate(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await?;
        let (port, bus) = *first.get_or_insert((node.server.port(), bus));
        node.server.operate(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await?;
        nodes.push(node);
    }
    for node in &nodes {
        eventually(CLUSTER_TIMEOUT, "the cluster is complete", async || {
            let state = node.server.operate("CLUSTER INFO").await.unwrap_or_default();
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
        })
        .await;
    }
    Ok(nodes)
}
