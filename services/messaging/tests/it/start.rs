//! Starting on an empty database, and who may call.

use parlance_core::ErrorCode;
use parlance_devstack::testing::fresh_database;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{AttachRequest, ReadHistoryRequest};

use crate::app::{Rooms, TestApp, answer};

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
async fn calls_without_the_internal_credential_are_refused() {
    let app = TestApp::start().await;
    let replica = app.balanced_client().replicas().borrow()[0].clone();
    let mut client = MessagingServiceClient::new(replica.channel());
    let request = ReadHistoryRequest::default();
    assert_eq!(answer(client.read_history(request)).await, Err(ErrorCode::Unauthenticated));
    let attached = client.attach(tokio_stream::empty::<AttachRequest>());
    assert_eq!(answer(attached).await.map(drop), Err(ErrorCode::Unauthenticated));
}
