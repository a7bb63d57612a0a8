//! The whole way, once: two people meet, share a room and talk, each at a gateway of their own.

use serde_json::json;

use crate::support::{make_room, people, seq_of, stack};

#[tokio::test]
async fn two_people_at_two_gateways_talk_in_one_order() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut annas = anna.subscribed(room).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;

    annas.send(&json!({"type": "send_message", "room_id": room, "content": "Hello Ben"})).await;
    let heard = bens.next().await;
    assert_eq!(heard["message"]["content"], "Hello Ben");
    assert_eq!(heard["message"]["sender"]["id"], anna.id);
    assert_eq!(annas.next().await, heard, "the sender gets the same event");

    bens.send(
        &json!({"type": "send_message", "room_id": room, "content": "Hello Anna", "ref": "1"}),
    )
    .await;
    assert_eq!(seq_of(&annas.next().await), 2);
    assert_eq!(anna.history(room).await, ben.at(stack, 1).history(room).await);
}
