use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::error::Coded;
use tokio::time::sleep;

use super::ChangeQueue;

#[tokio::test]
async fn changes_of_a_room_take_turns_and_those_of_other_rooms_do_not_wait() {
    let queue = ChangeQueue::default();
    let (room, other_room) = (RoomId::new(1), RoomId::new(2));
    let first = queue.turn(room).await.unwrap();
    drop(queue.turn(other_room).await.unwrap());
    let refused = queue.turn(room).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert!(refused.retry_after().is_some());

    let (second, ()) = tokio::join!(queue.turn(room), async {
        sleep(Duration::from_millis(500)).await;
        drop(first);
    });
    drop(second.unwrap());
    assert!(queue.lock().is_empty(), "it forgets rooms without a change");
}
