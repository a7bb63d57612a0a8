//! Sending.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::calls::{NOWHERE, delete, send};
use crate::support::{assert_message, become_contacts, make_room, people, person, stack};

#[tokio::test]
async fn sending_returns_the_message_that_all_members_read() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = send(&ben, room, json!({"content": "Hello"})).await.ok(201);
    assert_message(&message);
    assert_eq!((&message["room_id"], &message["content"]), (&json!(room), &json!("Hello")));
    assert_eq!((&message["seq"], &message["edited_at"]), (&json!(1), &Value::Null));
    assert_eq!(message["sender"], ben.get("/v1/auth/me").await.ok(200));
    assert_eq!(message["created_at"], message["updated_at"]);
    for person in [&anna, &ben, &anna.at(stack, 1), &ben.at(stack, 1)] {
        assert_eq!(person.history(room).await, std::slice::from_ref(&message));
    }
}

#[tokio::test]
async fn contacts_chat_in_their_system_room() {
    let [anna, ben] = people(stack().await).await;
    let room = become_contacts(&anna, &ben).await;
    let message = anna.send_message(room, "Hello").await;
    assert_eq!(ben.history(room).await, [message]);
}

#[tokio::test]
async fn sending_is_refused_in_this_order() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let empty = send(&ben, NOWHERE, json!({"content": ""})).await;
    assert_eq!(empty.json()["code"], "content_invalid");
    empty.invalid(&["body.content string_too_short"]);
    send(&ben, NOWHERE, json!({"content": "x"})).await.refused(404, "room_not_found");
    send(&ben, room, json!({"content": "x"})).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn content_that_breaks_a_rule_is_refused() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let too_long = "ä".repeat(8192) + "a";
    for (content, expected) in [
        (json!(""), "body.content string_too_short"),
        (json!(" \t\r\n\u{3000}\u{a0}"), "body.content value_error"),
        (json!("a\0b"), "body.content value_error"),
        (json!(too_long), "body.content string_too_long"),
        (json!(null), "body.content string_type"),
        (json!(["x"]), "body.content string_type"),
    ] {
        send(&anna, room, json!({"content": content})).await.invalid(&[expected]);
    }
    send(&anna, room, json!({})).await.invalid(&["body.content missing"]);
    assert!(anna.history(room).await.is_empty());
}

#[tokio::test]
async fn content_is_stored_exactly_as_sent() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let contents = [
        "  white \t space\r\n ",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\u{202e}مرحبا שלום",
        "e\u{301} is not é",
        "\u{feff}\u{200b}\u{1}\u{7f}\u{ffff}\u{10ffff}",
        "'; DROP TABLE messages; -- <script>\"\\\\u0000\"</script>",
        "{\"type\": \"x\"}",
        &"x".repeat(16_384),
        &"😀".repeat(4_096),
    ];
    for content in contents {
        assert_eq!(anna.send_message(room, content).await["content"], content);
    }
    let read = anna.at(stack, 1).history(room).await;
    let read: Vec<&str> = read.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(read, contents);
}

#[tokio::test]
async fn the_same_client_msg_id_gives_the_first_message() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let body = json!({"content": "first", "client_msg_id": "k"});
    let first = send(&anna, room, body.clone()).await.ok(201);
    assert_eq!(send(&anna, room, body.clone()).await.ok(200), first);
    assert_eq!(send(&anna.at(stack, 1), room, body).await.ok(200), first);
    let other = json!({"content": "second", "client_msg_id": "k"});
    assert_eq!(send(&anna.at(stack, 1), room, other).await.ok(200), first);
    assert_eq!(anna.history(room).await, [first]);
}

#[tokio::test]
async fn twenty_parallel_sends_of_one_client_msg_id_store_one_message() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let gateways = [anna.at(stack, 0), anna.at(stack, 1)];
    let body = json!({"content": "once", "client_msg_id": "k"});
    let answers = join_all((0..20).map(|i| send(&gateways[i % 2], room, body.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 19);
    let stored = anna.history(room).await;
    assert_eq!(stored.len(), 1);
    assert!(answers.iter().all(|answer| answer.json() == stored[0]));
}

#[tokio::test]
async fn a_client_msg_id_belongs_to_its_sender_and_room() {
    let [anna, ben] = people(stack().await).await;
    let (room, other) = (make_room(&anna, &[&ben]).await, make_room(&anna, &[]).await);
    let body = json!({"content": "x", "client_msg_id": "k"});
    send(&anna, room, body.clone()).await.ok(201);
    send(&ben, room, body.clone()).await.ok(201);
    send(&anna, other, body).await.ok(201);
}

#[tokio::test]
async fn deleting_a_message_frees_its_client_msg_id() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let body = json!({"content": "x", "client_msg_id": "k"});
    let first = send(&anna, room, body.clone()).await.ok(201);
    delete(&anna, &first).await.ok(204);
    let second = send(&anna, room, body).await.ok(201);
    assert!(second["id"].as_i64() > first["id"].as_i64());
    assert_eq!(anna.history(room).await, [second]);
}

#[tokio::test]
async fn a_client_msg_id_is_1_to_64_characters() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    for (id, expected) in [
        (json!(""), "body.client_msg_id string_too_short"),
        (json!("ä".repeat(65)), "body.client_msg_id string_too_long"),
        (json!("a\0"), "body.client_msg_id value_error"),
        (json!(null), "body.client_msg_id string_type"),
        (json!(5), "body.client_msg_id string_type"),
    ] {
        send(&anna, room, json!({"content": "x", "client_msg_id": id})).await.invalid(&[expected]);
    }
    send(&anna, room, json!({"content": "x", "client_msg_id": "ä".repeat(64)})).await.ok(201);
}

#[tokio::test]
async fn ids_and_times_grow_with_seq_across_senders_and_gateways() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let senders = [anna.at(stack, 0), anna.at(stack, 1), ben.at(stack, 0), ben.at(stack, 1)];
    let sent = join_all((0..60).map(|i| senders[i % 4].send_message(room, "x"))).await;

    let read = anna.history(room).await;
    let seqs: Vec<i64> = read.iter().map(|message| message["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
    assert!(read.windows(2).all(|pair| pair[0]["id"].as_i64() < pair[1]["id"].as_i64()));
    assert!(
        read.windows(2)
            .all(|pair| pair[0]["created_at"].as_str() <= pair[1]["created_at"].as_str())
    );
    let as_texts =
        |messages: &[Value]| messages.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(
        as_texts(&sent),
        as_texts(&read),
        "every answered message is there, once, as answered"
    );
}
