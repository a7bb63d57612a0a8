//! Starting on an empty database, one replica or several.

use parlance_contacts::{MIGRATIONS, SERVICE};
use parlance_core::Clock;
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_testkit::fresh_database;

use crate::app::{ALICE, BOB, TestApp, free_address};

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_start_at_once_on_an_empty_database() {
    let (url, rooms_address) = (fresh_database().await.unwrap(), free_address());
    let start = || TestApp::start_on(url.clone(), Clock::system(), rooms_address);
    let (first, second, third) = tokio::join!(start(), start(), start());
    assert!([&first, &second, &third].iter().all(|app| app.lifecycle.is_ready()));
    let invitation = first.invite(ALICE, BOB).await.unwrap();
    second.accept(BOB, invitation.id).await.unwrap();
    assert!(third.are_contacts(ALICE, BOB).await);
}

#[tokio::test]
async fn migrations_are_listed_before_and_after_they_are_applied() {
    let config = PostgresConfig {
        database_url: fresh_database().await.unwrap().into(),
        database_max_connections: 1,
        standby_is_synchronous: false,
    };
    let status = async || postgres::migration_status(SERVICE, &config, &MIGRATIONS).await.unwrap();
    assert!(status().await.contains("pending"));
    postgres::migrate(SERVICE, &config, &MIGRATIONS).await.unwrap();
    assert!(!status().await.contains("pending"));
    assert!(status().await.contains("applied"));
}
