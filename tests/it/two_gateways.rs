//! Two users at two gateways: the whole way of a message.

use serde_json::json;

use crate::support::{make_room, people, seq_of, stack};

#[tokio::test]
async fn two_people_at_two_gateways_talk_in_one_order() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut anna_socket = anna.subscribed(room).await;
    let mut ben_socket = ben.at(stack, 1).subscribed(room).await;

    anna_socket
        .send(&json!({"type": "send_message", "room_id": room, "content": "Hello Ben"}))
        .await;
    let received = ben_socket.next().await;
    assert_eq!(received["message"]["content"], "Hello Ben");
    assert_eq!(received["message"]["sender"]["id"], anna.id);
    assert_eq!(anna_socket.next().await, received, "the sender gets the same event");

    ben_socket
        .send(
            &json!({"type": "send_message", "room_id": room, "content": "Hello Anna", "ref": "1"}),
        )
        .await;
    assert_eq!(seq_of(&anna_socket.next().await), 2);
    assert_eq!(anna.history(room).await, ben.at(stack, 1).history(room).await);
}
