//! The canary: it goes the way of every message, is forgotten, and lets nobody else in.

use parlance_core::ErrorCode;
use parlance_proto::messaging::Event;

use crate::app::{OWNER, TestApp, eventually};
use crate::link::tells;

/// The user and the room of canaries.
const CANARY: i64 = 0;

#[tokio::test]
async fn a_canary_is_stored_and_told_like_any_message() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let (mut here, mut there) = (app.attach().await, other.attach().await);
    assert_eq!(here.subscribe(CANARY, CANARY).await.unwrap().last_seq, 0);
    there.subscribe(CANARY, CANARY).await.unwrap();

    let first = here.send(CANARY, CANARY, "g:1", "the first").await.unwrap();
    let second = here.send(CANARY, CANARY, "g:2", "the second").await.unwrap();
    let repeated = there.send(CANARY, CANARY, "g:1", "the first").await.unwrap();
    assert_eq!((first.message.unwrap().seq, second.message.unwrap().seq), (1, 2));
    assert_eq!((repeated.duplicate, repeated.message.unwrap().seq), (true, 1));
    for link in [&mut here, &mut there] {
        // Other tests send to this room, too, and share the Redis.
        let is_second = |event: &Event| tells(event) == "created the second";
        link.wait("the second canary", |received| received.events.iter().any(is_second)).await;
    }
}

#[tokio::test]
async fn nobody_else_is_admitted_to_the_room_of_canaries() {
    let app = TestApp::start().await;
    let mut link = app.attach().await;
    let canary = link.send(CANARY, CANARY, "g:1", "x").await.unwrap().message.unwrap();
    assert_eq!(link.send(CANARY, OWNER, "g:2", "x").await, Err(ErrorCode::RoomNotFound));
    assert_eq!(link.subscribe(CANARY, OWNER).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(link.show_typing(CANARY, OWNER).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.history(OWNER, CANARY, 10, None).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.edit(OWNER, canary.id, "y").await, Err(ErrorCode::MessageNotFound));
    assert_eq!(app.delete(OWNER, canary.id).await, Err(ErrorCode::MessageNotFound));
}

#[tokio::test]
async fn the_canary_is_admitted_to_no_other_room() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    assert_eq!(link.send(room_id, CANARY, "g:1", "x").await, Err(ErrorCode::NotAMember));
    assert_eq!(link.send(i64::MAX, CANARY, "g:2", "x").await, Err(ErrorCode::RoomNotFound));
    assert_eq!(link.subscribe(room_id, CANARY).await, Err(ErrorCode::NotAMember));
}

#[tokio::test]
async fn without_rooms_there_is_no_canary() {
    let app = TestApp::start().await;
    let mut link = app.attach().await;
    app.rooms.go_away().await;
    assert_eq!(link.send(CANARY, CANARY, "g:1", "x").await, Err(ErrorCode::Unavailable));
    assert_eq!(link.subscribe(CANARY, CANARY).await, Err(ErrorCode::Unavailable));
}

#[tokio::test]
async fn canaries_are_forgotten_and_numbered_on() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    for number in 1..=3 {
        link.store(room_id, &format!("g:{number}")).await;
        link.send(CANARY, CANARY, &format!("g:{number}"), "x").await.unwrap();
    }
    let mut database = app.database().await;
    sqlx::query(
        "UPDATE messaging.messages SET created_at = now() - INTERVAL '11 minutes' WHERE seq <= 2",
    )
    .execute(&mut database)
    .await
    .unwrap();
    // A replica forgets when it starts, and every minute.
    let _other = app.replica().await;
    eventually("the old canaries are forgotten", async || {
        let left: Vec<i64> =
            sqlx::query_scalar("SELECT seq FROM messaging.messages WHERE room_id = 0")
                .fetch_all(&mut database)
                .await
                .unwrap();
        left == [3]
    })
    .await;
    assert_eq!(link.send(CANARY, CANARY, "g:4", "x").await.unwrap().message.unwrap().seq, 4);
    assert_eq!(app.whole_history(room_id).await.len(), 3);
}
