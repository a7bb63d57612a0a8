//! Starting on an empty database, one replica or several.

use std::time::Duration;

use parlance_core::Clock;
use parlance_rooms::{MIGRATIONS, SERVICE};
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_testkit::fresh_database;

use crate::app::{FRIEND, OWNER, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_start_at_once_on_an_empty_database() {
    let url = fresh_database().await.unwrap();
    let start = || TestApp::start_on(url.clone(), Clock::system(), Duration::from_secs(600));
    let (first, second, third) = tokio::join!(start(), start(), start());
    assert!([&first, &second, &third].iter().all(|app| app.service.lifecycle.is_ready()));
    let room_id = first.make_contacts(OWNER, FRIEND).await;
    assert_eq!(second.make_contacts(FRIEND, OWNER).await, room_id);
    assert_eq!(third.get_room(FRIEND, room_id).await.unwrap().id, room_id);
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
