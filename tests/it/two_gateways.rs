//! The whole way of a message, between two users at two gateways.

use serde_json::json;

use crate::support::{event_seq, make_room, people, stack};

#[tokio::test]
async fn two_users_at_two_gateways_see_one_order() {
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
    assert_eq!(event_seq(&anna_socket.next().await), 2);
    assert_eq!(anna.history(room).await, ben.at(stack, 1).history(room).await);
}
