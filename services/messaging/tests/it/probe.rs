//! The synthetic probe: its messages are handled like all others, and deleted after a while.

use parlance_core::ErrorCode;
use parlance_proto::messaging::Event;

use crate::app::{OWNER, TestApp, eventually};
use crate::gateway::describe;

/// The id of the user and of the room of the probe.
const PROBE: i64 = 0;

#[tokio::test]
async fn a_probe_is_stored_and_delivered_like_any_message() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let (mut here, mut there) = (app.attach().await, other.attach().await);
    assert_eq!(here.subscribe(PROBE, PROBE).await.unwrap().last_seq, 0);
    there.subscribe(PROBE, PROBE).await.unwrap();

    let first = here.send(PROBE, PROBE, "g:1", "the first").await.unwrap();
    let second = here.send(PROBE, PROBE, "g:2", "the second").await.unwrap();
    let repeated = there.send(PROBE, PROBE, "g:1", "the first").await.unwrap();
    assert_eq!((first.message.unwrap().seq, second.message.unwrap().seq), (1, 2));
    assert_eq!((repeated.duplicate, repeated.message.unwrap().seq), (true, 1));
    for gateway in [&mut here, &mut there] {
        // Other tests send to this room, too, and use the same Redis.
        let is_second = |event: &Event| describe(event) == "created the second";
        gateway.wait("the second probe", |received| received.events.iter().any(is_second)).await;
    }
}

#[tokio::test]
async fn no_other_user_is_admitted_to_the_room_of_the_probe() {
    let app = TestApp::start().await;
    let mut gateway = app.attach().await;
    let probe = gateway.send(PROBE, PROBE, "g:1", "x").await.unwrap().message.unwrap();
    assert_eq!(gateway.send(PROBE, OWNER, "g:2", "x").await, Err(ErrorCode::RoomNotFound));
    assert_eq!(gateway.subscribe(PROBE, OWNER).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(gateway.show_typing(PROBE, OWNER).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.history(OWNER, PROBE, 10, None).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.edit(OWNER, probe.id, "y").await, Err(ErrorCode::MessageNotFound));
    assert_eq!(app.delete(OWNER, probe.id).await, Err(ErrorCode::MessageNotFound));
}

#[tokio::test]
async fn the_probe_is_admitted_to_no_other_room() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    assert_eq!(gateway.send(room_id, PROBE, "g:1", "x").await, Err(ErrorCode::NotAMember));
    assert_eq!(gateway.send(i64::MAX, PROBE, "g:2", "x").await, Err(ErrorCode::RoomNotFound));
    assert_eq!(gateway.subscribe(room_id, PROBE).await, Err(ErrorCode::NotAMember));
}

#[tokio::test]
async fn the_probe_fails_while_rooms_is_unavailable() {
    let app = TestApp::start().await;
    let mut gateway = app.attach().await;
    app.rooms.stop().await;
    assert_eq!(gateway.send(PROBE, PROBE, "g:1", "x").await, Err(ErrorCode::Unavailable));
    assert_eq!(gateway.subscribe(PROBE, PROBE).await, Err(ErrorCode::Unavailable));
}

#[tokio::test]
async fn old_probes_are_deleted_and_numbering_continues() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    for number in 1..=3 {
        gateway.store(room_id, &format!("g:{number}")).await;
        gateway.send(PROBE, PROBE, &format!("g:{number}"), "x").await.unwrap();
    }
    let mut database = app.database().await;
    sqlx::query(
        "UPDATE messaging.messages SET created_at = now() - INTERVAL '11 minutes' WHERE seq <= 2",
    )
    .execute(&mut database)
    .await
    .unwrap();
    // A replica trims when it starts, and every minute.
    let _other = app.replica().await;
    eventually("the old probes are deleted", async || {
        let left: Vec<i64> =
            sqlx::query_scalar("SELECT seq FROM messaging.messages WHERE room_id = 0")
                .fetch_all(&mut database)
                .await
                .unwrap();
        left == [3]
    })
    .await;
    assert_eq!(gateway.send(PROBE, PROBE, "g:4", "x").await.unwrap().message.unwrap().seq, 4);
    assert_eq!(app.whole_history(room_id).await.len(), 3);
}
