//! What WebSockets receive when a membership ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{assert_error, message_to, message_with_ref};
use crate::support::{Person, Socket, make_room, people, stack};

async fn remove(owner: &Person, room: i64, member: &Person) {
    owner.delete(&format!("/v1/rooms/{room}/members/{}", member.name)).await.ok(204);
}

async fn add(owner: &Person, room: i64, member: &Person) {
    owner
        .post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": [member.name]}))
        .await
        .ok(200);
}

/// Reads the next frame, which must be `unsubscribed`.
async fn unsubscribed(socket: &mut Socket, room: i64, reason: &str) {
    assert_eq!(
        socket.next().await,
        json!({"type": "unsubscribed", "room_id": room, "reason": reason})
    );
}

#[tokio::test]
async fn leaving_unsubscribes_all_connections() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut annas = anna.subscribed(room).await;
    let mut bens = [ben.subscribed(room).await, ben.at(stack, 1).subscribed(room).await];
    ben.post_empty(&format!("/v1/rooms/{room}/leave")).await.ok(204);
    for socket in &mut bens {
        unsubscribed(socket, room, "left").await;
    }
    anna.send_message(room, "Alone").await;
    assert_eq!(annas.next().await["message"]["content"], "Alone");
    for socket in &mut bens {
        assert_eq!(socket.so_far().await, [Value::Null; 0]);
    }
}

#[tokio::test]
async fn a_removed_member_is_unsubscribed_and_can_be_added_again() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    remove(&anna, room, &ben).await;
    unsubscribed(&mut bens, room, "removed").await;
    assert_error(
        &bens.ask(&json!({"type": "subscribe", "room_id": room})).await,
        "not_a_member",
        None,
    );

    anna.send_message(room, "Meanwhile").await;
    add(&anna, room, &ben).await;
    assert_eq!(
        bens.ask(&json!({"type": "subscribe", "room_id": room, "after_seq": 0})).await["head_seq"],
        1
    );
    assert_eq!(bens.next().await["message"]["content"], "Meanwhile");
    anna.send_message(room, "Welcome").await;
    assert_eq!(bens.next().await["message"]["content"], "Welcome");
}

#[tokio::test]
async fn deleting_a_room_unsubscribes_all_and_refuses_messages() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut sockets = [anna.subscribed(room).await, ben.at(stack, 1).subscribed(room).await];
    let message = ben.send_message(room, "Hello").await;
    anna.delete(&format!("/v1/rooms/{room}")).await.ok(204);
    for socket in &mut sockets {
        assert_eq!(socket.next().await["type"], "message");
        unsubscribed(socket, room, "room_deleted").await;
        assert_error(&socket.ask(&message_to(room, "x")).await, "room_not_found", None);
        let edit = json!({"type": "edit_message", "message_id": message["id"], "content": "x"});
        assert_error(&socket.ask(&edit).await, "message_not_found", None);
        assert_error(
            &socket.ask(&json!({"type": "subscribe", "room_id": room})).await,
            "room_not_found",
            None,
        );
    }
}

#[tokio::test]
async fn frames_after_a_removal_are_refused_at_both_gateways() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "Before").await;
    let mut bens = [ben.socket().await, ben.at(stack, 1).socket().await];
    for round in 0..5 {
        remove(&anna, room, &ben).await;
        for (gateway, socket) in bens.iter_mut().enumerate() {
            let answer = socket.ask(&message_with_ref(room, "After", "1")).await;
            assert_error(&answer, "not_a_member", Some("1"));
            let edit = json!({"type": "edit_message", "message_id": message["id"], "content": "x"});
            assert_error(&socket.ask(&edit).await, "message_not_found", None);
            let at = ben.at(stack, gateway);
            at.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "After"}))
                .await
                .refused(403, "not_a_member");
        }
        add(&anna, room, &ben).await;
        for socket in &mut bens {
            let ack = socket.ask(&message_with_ref(room, "Back", "2")).await;
            assert_eq!(ack["type"], "ack", "in round {round}");
        }
    }
}

#[tokio::test]
async fn delivery_ends_within_a_second_of_the_removal() {
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    let room = make_room(&anna, &[&ben, &carl]).await;
    let mut removed = [ben.subscribed(room).await, ben.at(stack, 1).subscribed(room).await];
    let mut staying = carl.at(stack, 1).subscribed(room).await;
    let mut sender = anna.socket().await;

    let mut removed_at: Option<Instant> = None;
    let mut last_allowed = None;
    for number in 0_u64.. {
        sender.ask(&message_with_ref(room, &number.to_string(), "n")).await;
        match removed_at {
            None if number == 10 => {
                remove(&anna, room, &ben).await;
                removed_at = Some(Instant::now());
            }
            Some(at) if last_allowed.is_none() && at.elapsed() > Duration::from_secs(1) => {
                last_allowed = Some(number + 1)
            }
            _ => {}
        }
        if last_allowed.is_some_and(|last_allowed| number > last_allowed + 10) {
            assert_eq!(sender.ask(&message_with_ref(room, "The end", "n")).await["type"], "ack");
            break;
        }
    }
    while staying.next().await["message"]["content"] != "The end" {}
    for socket in &mut removed {
        let frames = socket.so_far().await;
        let (last, before) = frames.split_last().unwrap();
        assert_eq!(*last, json!({"type": "unsubscribed", "room_id": room, "reason": "removed"}));
        for frame in before {
            let number: u64 = frame["message"]["content"].as_str().unwrap().parse().unwrap();
            assert!(
                number <= last_allowed.unwrap(),
                "{number} came, {last_allowed:?} was the last allowed"
            );
        }
    }
}
