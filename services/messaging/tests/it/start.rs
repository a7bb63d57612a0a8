//! Starting on an empty database, and the internal credential.

use parlance_core::ErrorCode;
use parlance_messaging::{MIGRATIONS, NAME};
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{AttachRequest, ReadHistoryRequest};
use parlance_runtime::postgres;
use parlance_testkit::fresh_database;

use crate::app::{Rooms, TestApp, response};

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_start_at_once_on_an_empty_database() {
    let rooms = Rooms::start().await;
    let url = fresh_database().await.unwrap();
    let start = || TestApp::start_on(&url, &rooms);
    let (first, second, third) = tokio::join!(start(), start(), start());
    assert!([&first, &second, &third].iter().all(|app| app.lifecycle.is_ready()));
    let room_id = rooms.room().await;
    first.attach().await.store(room_id, "g:1").await;
    second.attach().await.store(room_id, "g:2").await;
    assert_eq!(third.whole_history(room_id).await.len(), 2);
}

#[tokio::test]
async fn a_database_of_a_later_version_is_accepted_and_one_with_other_migrations_is_not() {
    let app = TestApp::start().await;
    let insert_migration = async |version: i64| {
        let statement = "INSERT INTO messaging._sqlx_migrations
                 (version, description, success, checksum, execution_time)
             VALUES ($1, 'of another version', TRUE, '', 0)";
        sqlx::query(statement).bind(version).execute(&mut app.database().await).await.unwrap();
    };
    let migrate = async || postgres::migrate(NAME, &app.config.postgres, &MIGRATIONS).await;
    insert_migration(1_000).await;
    migrate().await.unwrap();
    insert_migration(0).await;
    let error = format!("{:#}", migrate().await.unwrap_err());
    assert!(error.contains("other migrations"), "{error}");
}

#[tokio::test]
async fn calls_without_the_internal_credential_are_refused() {
    let app = TestApp::start().await;
    let replica = app.balanced_client().replicas().borrow()[0].clone();
    let mut client = MessagingServiceClient::new(replica.channel());
    let request = ReadHistoryRequest::default();
    assert_eq!(response(client.read_history(request)).await, Err(ErrorCode::Unauthenticated));
    let attached = client.attach(tokio_stream::empty::<AttachRequest>());
    assert_eq!(response(attached).await.map(drop), Err(ErrorCode::Unauthenticated));
}
