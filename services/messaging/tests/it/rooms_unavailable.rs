//! The rooms service is unavailable: requests that need it are refused in time, delivery continues,
//! and everything works again afterwards.

use std::time::Duration;

use parlance_core::ErrorCode;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{OWNER, TestApp, eventually};

/// The deadline of the gateway's calls.
const DEADLINE: Duration = Duration::from_secs(2);

/// Asserts that every request that needs rooms is refused within the deadline.
async fn assert_unavailable(app: &TestApp, room_id: i64, message_id: i64) {
    let mut gateway = app.attach().await;
    let started = Instant::now();
    assert_eq!(gateway.send(room_id, OWNER, "g:refused", "x").await, Err(ErrorCode::Unavailable));
    assert_in_time(started);
    let started = Instant::now();
    assert_eq!(gateway.subscribe(room_id, OWNER).await, Err(ErrorCode::Unavailable));
    assert_in_time(started);
    let started = Instant::now();
    assert_eq!(app.history(OWNER, room_id, 10, None).await, Err(ErrorCode::Unavailable));
    assert_in_time(started);
    let started = Instant::now();
    assert_eq!(app.edit(OWNER, message_id, "x").await, Err(ErrorCode::Unavailable));
    assert_in_time(started);
}

fn assert_in_time(started: Instant) {
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn requests_are_refused_delivery_continues_and_recovery_is_automatic() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let mut subscriber = app.attach_to(room_id).await;
    let first = subscriber.store(room_id, "g:1").await;
    app.rooms.stop().await;
    assert_unavailable(&app, room_id, first.id).await;
    assert_unavailable(&other, room_id, first.id).await;

    // A commit of a replica that reaches rooms is still delivered.
    let mut database = app.database().await;
    sqlx::query(
        "SELECT messaging.write_batch(
            ARRAY[$1], ARRAY[1], ARRAY[$2], ARRAY['user1'], ARRAY['g:2'], ARRAY['two']
        )",
    )
    .bind(room_id)
    .bind(OWNER)
    .execute(&mut database)
    .await
    .unwrap();
    subscriber.wait_for_last_seq(room_id, 2).await;
    assert_eq!(
        app.changes(room_id, 1, 2).await.events.len(),
        1,
        "catching up needs no membership check"
    );

    let _rooms = app.rooms.restart().await;
    let mut gateway = other.attach().await;
    eventually("messages are stored again", async || {
        gateway.send(room_id, OWNER, "g:3", "x").await.is_ok()
    })
    .await;
    subscriber.wait_for_event(room_id, 3).await;
}

#[tokio::test]
async fn a_rooms_service_that_does_not_answer_is_unavailable() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let message = app.attach().await.store(room_id, "g:1").await;
    app.rooms.stop().await;
    // The system accepts connections, and no process reads from them.
    let silent = TcpListener::bind(app.rooms.address()).await.unwrap();
    assert_unavailable(&app, room_id, message.id).await;
    drop(silent);

    let _rooms = app.rooms.restart().await;
    let mut gateway = app.attach().await;
    eventually("messages are stored again", async || {
        gateway.send(room_id, OWNER, "g:2", "x").await.is_ok()
    })
    .await;
}
