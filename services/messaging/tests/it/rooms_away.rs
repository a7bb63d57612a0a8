//! The rooms service is away: what needs it is refused in time, the rest goes on, and all is well
//! afterwards.

use std::time::Duration;

use parlance_core::ErrorCode;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{OWNER, TestApp, eventually};

/// The deadline of a call as the gateway makes it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Everything that asks rooms is refused within the deadline.
async fn assert_unavailable(app: &TestApp, room_id: i64, message_id: i64) {
    let mut link = app.attach().await;
    let started = Instant::now();
    assert_eq!(link.send(room_id, OWNER, "g:refused", "x").await, Err(ErrorCode::Unavailable));
    assert_in_time(started);
    let started = Instant::now();
    assert_eq!(link.subscribe(room_id, OWNER).await, Err(ErrorCode::Unavailable));
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
async fn requests_are_refused_delivery_goes_on_and_all_is_well_afterwards() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let mut subscriber = app.attach_to(room_id).await;
    let first = subscriber.store(room_id, "g:1").await;
    app.rooms.go_away().await;
    assert_unavailable(&app, room_id, first.id).await;
    assert_unavailable(&other, room_id, first.id).await;

    // What a replica with a way to rooms commits still reaches the subscribed.
    let mut database = app.database().await;
    sqlx::query(
        "SELECT messaging.write_batch(ARRAY[$1], ARRAY[1], ARRAY[$2], ARRAY['user1'], ARRAY['g:2'], ARRAY['g:2'], ARRAY['two'], TRUE)",
    )
    .bind(room_id)
    .bind(OWNER)
    .execute(&mut database)
    .await
    .unwrap();
    subscriber.head(room_id, 2).await;
    assert_eq!(app.changes(room_id, 1, 2).await.events.len(), 1, "catching up asks nobody");

    let _rooms = app.rooms.come_back().await;
    let mut link = other.attach().await;
    eventually("messages are stored again", async || {
        link.send(room_id, OWNER, "g:3", "x").await.is_ok()
    })
    .await;
    subscriber.event(room_id, 3).await;
}

#[tokio::test]
async fn rooms_that_does_not_answer_is_as_good_as_away() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let message = app.attach().await.store(room_id, "g:1").await;
    app.rooms.go_away().await;
    // Connections are taken in by the system, and nobody ever reads from them.
    let silent = TcpListener::bind(app.rooms.address()).await.unwrap();
    assert_unavailable(&app, room_id, message.id).await;
    drop(silent);

    let _rooms = app.rooms.come_back().await;
    let mut link = app.attach().await;
    eventually("messages are stored again", async || {
        link.send(room_id, OWNER, "g:2", "x").await.is_ok()
    })
    .await;
}
