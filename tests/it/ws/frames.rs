//! Each type of frame and its answer.

use serde_json::{Value, json};

use super::{assert_error, message_to, message_with_ref};
use crate::support::{
    Person, Socket, assert_members, assert_message, assert_user, make_room, people, person, stack,
};

/// An id that no room and no message has.
const NOWHERE: i64 = i64::MAX;

async fn edit(socket: &mut Socket, message: &Value, content: &str) -> Value {
    socket
        .ask(&json!({
            "type": "edit_message", "message_id": message["id"], "content": content, "ref": "e",
        }))
        .await
}

async fn delete(socket: &mut Socket, message: &Value) -> Value {
    socket.ask(&json!({"type": "delete_message", "message_id": message["id"], "ref": "d"})).await
}

/// A room, its owner, a member, and a user that is no member.
async fn room_with_members() -> ([Person; 3], i64) {
    let people = people(stack().await).await;
    let room = make_room(&people[0], &[&people[1]]).await;
    (people, room)
}

#[tokio::test]
async fn subscribe_returns_the_head_seq_of_the_room() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.socket().await;
    let mut expected = json!({
        "type": "success", "message": format!("Subscribed to room {room}"), "room_id": room,
        "head_seq": 0, "ref": "s",
    });
    assert_eq!(
        socket.ask(&json!({"type": "subscribe", "room_id": room, "ref": "s", "more": 1})).await,
        expected
    );
    anna.send_message(room, "Hello").await;
    assert_eq!(socket.next().await["type"], "message");

    expected["head_seq"] = json!(1);
    let again = socket
        .ask(&json!({"type": "subscribe", "room_id": room, "ref": "s", "after_seq": 0}))
        .await;
    assert_eq!(again, expected);
    assert_eq!(socket.so_far().await, [Value::Null; 0], "subscribing again replays nothing");
    anna.send_message(room, "Once").await;
    assert_eq!(socket.next().await["message"]["content"], "Once");
    assert_eq!(socket.so_far().await, [Value::Null; 0], "and doubles nothing");
}

#[tokio::test]
async fn only_members_subscribe() {
    let ([_, _, outsider], room) = room_with_members().await;
    let mut socket = outsider.socket().await;
    let answer = socket.ask(&json!({"type": "subscribe", "room_id": room, "ref": "1"})).await;
    assert_error(&answer, "not_a_member", Some("1"));
    assert_eq!(answer["error"], "You are not a member of this room");
    let answer = socket.ask(&json!({"type": "subscribe", "room_id": NOWHERE})).await;
    assert_error(&answer, "room_not_found", None);
}

#[tokio::test]
async fn no_event_follows_the_answer_to_unsubscribe() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    let mut annas = anna.subscribed(room).await;
    for number in 0..30 {
        annas.send(&message_to(room, &number.to_string())).await;
    }
    bens.next().await;
    bens.send(&json!({"type": "unsubscribe", "room_id": room, "ref": "u"})).await;
    let message = format!("Unsubscribed from room {room}");
    let expected = json!({"type": "success", "message": message, "room_id": room, "ref": "u"});
    while bens.next().await != expected {}
    while annas.next().await["message"]["content"] != "29" {}
    assert_eq!(bens.so_far().await, [Value::Null; 0]);
    // The answer is the same without a subscription.
    assert_eq!(
        bens.ask(&json!({"type": "unsubscribe", "room_id": room, "ref": "u"})).await,
        expected
    );
    let nowhere = bens.ask(&json!({"type": "unsubscribe", "room_id": NOWHERE})).await;
    assert_eq!(nowhere["message"], format!("Unsubscribed from room {NOWHERE}"));
}

#[tokio::test]
async fn a_message_reaches_all_subscribers_and_its_sender() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut annas = anna.subscribed(room).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    let content = "  <b>Grüße</b>\u{1F600}\r\n\t\u{200B} ";
    annas.send(&message_to(room, content)).await;
    let event = annas.next().await;
    assert_members(&event, &["type", "message"]);
    assert_eq!(event["type"], "message");
    assert_message(&event["message"]);
    assert_eq!(event["message"]["content"], content);
    assert_eq!(bens.next().await, event);
    assert_eq!(ben.history(room).await, [event["message"].clone()]);
    assert_eq!(
        annas.so_far().await,
        [Value::Null; 0],
        "without ref or client_msg_id there is no ack"
    );
}

#[tokio::test]
async fn sending_needs_no_subscription() {
    let ([anna, ben, _], room) = room_with_members().await;
    let mut annas = anna.subscribed(room).await;
    let mut bens = ben.socket().await;
    bens.send(&message_to(room, "Hello")).await;
    assert_eq!(annas.next().await["message"]["sender"]["id"], ben.id);
    assert_eq!(bens.so_far().await, [Value::Null; 0], "who is not subscribed gets no events");
}

#[tokio::test]
async fn a_send_with_a_ref_or_a_client_msg_id_is_acked() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.socket().await;
    let with_ref = socket.ask(&message_with_ref(room, "1", "r")).await;
    let id = anna.history(room).await[0]["id"].clone();
    assert_eq!(
        with_ref,
        json!({"type": "ack", "ref": "r", "room_id": room, "message_id": id, "seq": 1})
    );

    let with_key =
        json!({"type": "send_message", "room_id": room, "content": "2", "client_msg_id": "k"});
    let ack = socket.ask(&with_key).await;
    let id = anna.history(room).await[1]["id"].clone();
    assert_eq!(
        ack,
        json!({"type": "ack", "client_msg_id": "k", "room_id": room, "message_id": id, "seq": 2})
    );
}

#[tokio::test]
async fn the_same_client_msg_id_is_stored_once_on_any_gateway() {
    let stack = stack().await;
    let ([anna, ben, _], room) = room_with_members().await;
    let send = |content: &str| {
        json!({
            "type": "send_message", "room_id": room, "content": content, "client_msg_id": "k",
        })
    };
    let first = anna.socket().await.ask(&send("The first")).await;
    assert_eq!(first["type"], "ack");
    assert_eq!(anna.at(stack, 1).socket().await.ask(&send("Another")).await, first);
    let mut socket = anna.socket().await;
    for _ in 0..3 {
        socket.send(&send("The first")).await;
    }
    for _ in 0..3 {
        assert_eq!(socket.next().await, first);
    }
    // Each sender has its own keys.
    assert_ne!(ben.socket().await.ask(&send("Of Ben")).await["message_id"], first["message_id"]);
    let contents: Vec<Value> =
        anna.history(room).await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(contents, ["The first", "Of Ben"]);
}

#[tokio::test]
async fn deleting_a_message_frees_its_client_msg_id() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.socket().await;
    let send =
        json!({"type": "send_message", "room_id": room, "content": "x", "client_msg_id": "k"});
    let first = socket.ask(&send).await;
    assert_eq!(delete(&mut socket, &json!({"id": first["message_id"]})).await["type"], "success");
    let second = socket.ask(&send).await;
    assert_eq!((&second["type"], &second["seq"]), (&json!("ack"), &json!(3)));
}

#[tokio::test]
async fn only_members_send() {
    let ([anna, _, outsider], room) = room_with_members().await;
    let mut socket = outsider.socket().await;
    assert_error(&socket.ask(&message_with_ref(room, "x", "1")).await, "not_a_member", Some("1"));
    assert_error(&socket.ask(&message_to(NOWHERE, "x")).await, "room_not_found", None);
    assert_eq!(anna.history(room).await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_sender_edits_and_all_subscribers_see_it() {
    let stack = stack().await;
    let ([anna, ben, _], room) = room_with_members().await;
    let message = ben.send_message(room, "Helo").await;
    let mut annas = anna.at(stack, 1).subscribed(room).await;
    let answer = edit(&mut ben.socket().await, &message, "Hello").await;
    assert_eq!((&answer["type"], &answer["ref"]), (&json!("success"), &json!("e")));

    let event = annas.next().await;
    assert_members(&event, &["type", "message", "seq"]);
    assert_eq!((&event["type"], &event["seq"]), (&json!("message_edited"), &json!(2)));
    assert_message(&event["message"]);
    assert_eq!(
        (&event["message"]["content"], &event["message"]["seq"]),
        (&json!("Hello"), &json!(1))
    );
    assert!(event["message"]["edited_at"].is_string());
    assert_eq!(anna.history(room).await, [event["message"].clone()]);
}

#[tokio::test]
async fn only_the_sender_edits() {
    let ([anna, ben, outsider], room) = room_with_members().await;
    let message = ben.send_message(room, "Mine").await;
    assert_error(&edit(&mut anna.socket().await, &message, "x").await, "not_the_sender", Some("e"));
    assert_error(
        &edit(&mut outsider.socket().await, &message, "x").await,
        "message_not_found",
        Some("e"),
    );
    let nothing = json!({"id": NOWHERE});
    assert_error(
        &edit(&mut ben.socket().await, &nothing, "x").await,
        "message_not_found",
        Some("e"),
    );
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn the_sender_and_the_owner_delete_and_all_subscribers_see_it() {
    let stack = stack().await;
    let ([anna, ben, _], room) = room_with_members().await;
    let (first, second) = (ben.send_message(room, "1").await, ben.send_message(room, "2").await);
    let mut watching = ben.at(stack, 1).subscribed(room).await;
    for (person, message, seq) in [(&ben, &first, 3), (&anna, &second, 4)] {
        assert_eq!(delete(&mut person.socket().await, message).await["type"], "success");
        let expected = json!({
            "type": "message_deleted", "room_id": room, "message_id": message["id"], "seq": seq,
        });
        assert_eq!(watching.next().await, expected);
    }
    assert_eq!(anna.history(room).await, [Value::Null; 0]);
    assert_error(&delete(&mut ben.socket().await, &first).await, "message_not_found", Some("d"));
    assert_error(&edit(&mut ben.socket().await, &first, "x").await, "message_not_found", Some("e"));
}

#[tokio::test]
async fn only_the_sender_or_the_owner_deletes() {
    let ([anna, ben, outsider], room) = room_with_members().await;
    let message = anna.send_message(room, "Mine").await;
    assert_error(&delete(&mut ben.socket().await, &message).await, "not_the_sender", Some("d"));
    assert_error(
        &delete(&mut outsider.socket().await, &message).await,
        "message_not_found",
        Some("d"),
    );
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn typing_reaches_the_other_connections_and_is_not_stored() {
    let stack = stack().await;
    let ([anna, ben, _], room) = room_with_members().await;
    let mut annas = anna.subscribed(room).await;
    let mut bens = [ben.subscribed(room).await, ben.at(stack, 1).subscribed(room).await];
    annas.send(&json!({"type": "typing", "room_id": room})).await;
    for socket in &mut bens {
        let event = socket.next().await;
        assert_members(&event, &["type", "room_id", "user"]);
        assert_eq!((&event["type"], &event["room_id"]), (&json!("typing"), &json!(room)));
        assert_user(&event["user"]);
        assert_eq!(event["user"]["id"], anna.id);
    }
    assert_eq!(annas.so_far().await, [Value::Null; 0]);
    assert_eq!(annas.subscribe(room).await["head_seq"], 0);
}

#[tokio::test]
async fn typing_events_are_limited_to_one_every_two_seconds() {
    let ([anna, ben, _], room) = room_with_members().await;
    let (mut annas, mut bens) = (anna.socket().await, ben.subscribed(room).await);
    let typing = json!({"type": "typing", "room_id": room});
    for _ in 0..5 {
        annas.send(&typing).await;
    }
    // The pong follows the answers to all earlier frames.
    annas.so_far().await;
    assert_eq!(bens.so_far().await.len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(2_050)).await;
    annas.send(&typing).await;
    assert_eq!(bens.next().await["type"], "typing");
}

#[tokio::test]
async fn only_members_send_typing() {
    let ([anna, _, outsider], room) = room_with_members().await;
    let mut annas = anna.subscribed(room).await;
    let mut socket = outsider.socket().await;
    let answer = socket.ask(&json!({"type": "typing", "room_id": room, "ref": "t"})).await;
    assert_error(&answer, "not_a_member", Some("t"));
    assert_error(
        &socket.ask(&json!({"type": "typing", "room_id": NOWHERE})).await,
        "room_not_found",
        None,
    );
    assert_eq!(annas.so_far().await, [Value::Null; 0]);
}

#[tokio::test]
async fn ping_is_answered_with_pong() {
    let mut socket = person(stack().await).await.socket().await;
    assert_eq!(socket.ask(&json!({"type": "ping"})).await, json!({"type": "pong"}));
    let reference = "ä".repeat(64);
    let expected = json!({"type": "pong", "ref": reference});
    assert_eq!(
        socket.ask(&json!({"type": "ping", "ref": reference, "unknown": {}})).await,
        expected
    );
}

#[tokio::test]
async fn changes_over_rest_are_delivered_live() {
    let ([anna, ben, _], room) = room_with_members().await;
    let mut bens = ben.subscribed(room).await;
    let message = anna.send_message(room, "1").await;
    let path = format!("/v1/messages/{}", message["id"]);
    anna.patch(&path, &json!({"content": "2"})).await.ok(200);
    anna.delete(&path).await.ok(204);
    for (kind, seq) in [("message", 1), ("message_edited", 2), ("message_deleted", 3)] {
        let event = bens.next().await;
        assert_eq!((event["type"].as_str(), crate::support::event_seq(&event)), (Some(kind), seq));
    }
}
