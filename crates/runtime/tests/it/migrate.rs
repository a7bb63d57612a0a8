//! Migrations of a schema that others use.

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use parlance_devstack::TemporaryFolder;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_testkit::{Network, fresh_database, start_postgres};
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{sleep, timeout};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A migrator with one migration.
async fn migrator(statement: &str) -> Migrator {
    let folder = TemporaryFolder::new().unwrap();
    fs::write(folder.path().join("0001_change.sql"), statement).unwrap();
    Migrator::new(folder.path()).await.unwrap()
}

fn config(url: String) -> PostgresConfig {
    PostgresConfig {
        database_url: url.into(),
        database_max_connections: 1,
        standby_is_synchronous: false,
    }
}

#[tokio::test]
async fn nobody_waits_long_behind_a_migration_that_waits_for_a_lock() {
    let url = fresh_database().await.unwrap();
    let mut reader = PgConnection::connect(&url).await.unwrap();
    reader.execute("CREATE TABLE used (number INT)").await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    reading.execute("SELECT FROM used").await.unwrap();

    let (config, migrations) =
        (config(url.clone()), migrator("ALTER TABLE used ADD more INT").await);
    let is_migrated = Cell::new(false);
    let migration = Box::pin(async {
        postgres::migrate("test", &config, &migrations).await.unwrap();
        is_migrated.set(true);
    });
    let mut other = PgConnection::connect(&url).await.unwrap();
    let use_table = async {
        let waits =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'used'::REGCLASS";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut other).await.unwrap() == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        // This waits behind the migration, which gives up although the first reader goes on.
        other.execute("SELECT FROM used").await.unwrap();
        assert!(!is_migrated.get());
        reading.commit().await.unwrap();
    };
    timeout(WAIT_TIMEOUT, async { tokio::join!(migration, use_table) }).await.unwrap();
    other.execute("SELECT more FROM used").await.unwrap();
}

/// A migration on a host that vanishes. New connections reach the next host after a pause.
async fn migrate_through_failover(pause: Duration) {
    let server = start_postgres().await.unwrap();
    let network = Network::to(server.server.address()).await.unwrap();
    let config = config(network.url(&server.server.url("postgres")));
    let migrations = migrator("SELECT pg_sleep(3); CREATE TABLE migrated (number INT)").await;
    let mut superuser = server.server.connect("postgres").await.unwrap();
    let migration = Box::pin(postgres::migrate("test", &config, &migrations));
    let failover = async {
        let migrating = "SELECT pid FROM pg_stat_activity
             WHERE application_name = 'test' AND query LIKE '%pg_sleep%' AND state = 'active'";
        let pid: i32 = loop {
            let pid = sqlx::query_scalar(migrating).fetch_optional(&mut superuser).await.unwrap();
            match pid {
                Some(pid) => break pid,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        network.vanish();
        sleep(pause).await;
        network.lead_to(server.server.address());
        // In this test the next host is the one of before, where the session would go on.
        sqlx::query("SELECT pg_terminate_backend($1)")
            .bind(pid)
            .execute(&mut superuser)
            .await
            .unwrap();
    };
    let both = async { tokio::join!(migration, failover) };
    timeout(WAIT_TIMEOUT * 2, both).await.unwrap().0.unwrap();
    superuser.execute("SELECT FROM migrated").await.unwrap();
}

#[tokio::test]
async fn a_migration_goes_on_at_another_host_after_its_own_has_vanished() {
    migrate_through_failover(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_migration_goes_on_at_another_host_that_is_there_at_once() {
    migrate_through_failover(Duration::ZERO).await;
}
