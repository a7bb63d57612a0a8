//! A private Postgres: its end, its restart, and data of another version.

use std::path::Path;
use std::time::Duration;

use parlance_devstack::TemporaryFolder;
use parlance_devstack::{Durability, Postgres, PostgresSettings, free_port};
use sqlx::Connection;

#[tokio::test]
async fn dropping_a_server_ends_it_and_keeps_its_data() {
    let folder = TemporaryFolder::new().unwrap();
    let settings = durable(folder.path());

    let first = Postgres::start(settings.clone()).await.unwrap();
    execute(&first, "CREATE TABLE kept (id BIGINT)").await;
    let id = first.process().id().unwrap();
    drop(first);
    assert!(!Path::new(&format!("/proc/{id}")).exists());

    let second = Postgres::start(settings).await.unwrap();
    execute(&second, "INSERT INTO kept VALUES (1)").await;
}

#[tokio::test]
async fn a_killed_server_restarts_on_the_same_port() {
    let folder = TemporaryFolder::new().unwrap();
    let postgres = Postgres::start(durable(folder.path())).await.unwrap();

    postgres.process().kill().await.unwrap();
    assert!(postgres.process().id().is_none());

    postgres.process().restart(Duration::from_secs(60)).await.unwrap();
    execute(&postgres, "SELECT 1").await;
}

#[tokio::test]
async fn data_of_another_version_is_refused_with_a_hint() {
    let folder = TemporaryFolder::new().unwrap();
    let data = folder.path().join("postgres");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "8\n").unwrap();

    let error = Postgres::start(durable(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains("PostgreSQL 8") && error.contains("make reset"), "{error}");
}

fn durable(folder: &Path) -> PostgresSettings {
    PostgresSettings {
        folder: folder.to_owned(),
        port: free_port().unwrap(),
        password: "password".to_owned(),
        durability: Durability::Durable,
        certificate: None,
    }
}

async fn execute(postgres: &Postgres, statement: &'static str) {
    let mut connection = postgres.connect("postgres").await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
