//! Messages over REST: sending, history, editing, deleting.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Answer, Person, assert_members, assert_message, become_contacts, make_room, people, person,
    stack,
};

/// An id that no room and no message has.
const NOWHERE: i64 = i64::MAX;

async fn send(person: &Person, room: i64, body: Value) -> Answer {
    person.post(&format!("/v1/messages/rooms/{room}"), &body).await
}

async fn history(person: &Person, room: i64, query: &str) -> Answer {
    person.get(&format!("/v1/messages/rooms/{room}/history{query}")).await
}

/// A page of history: its contents, joined, and `has_more`.
async fn page(person: &Person, room: i64, query: &str) -> (String, bool) {
    let page = history(person, room, query).await.ok(200);
    assert_members(&page, &["messages", "has_more"]);
    let messages = page["messages"].as_array().unwrap();
    messages.iter().for_each(assert_message);
    let contents = messages.iter().map(|message| message["content"].as_str().unwrap());
    (contents.collect(), page["has_more"].as_bool().unwrap())
}

async fn edit(person: &Person, message: &Value, content: &str) -> Answer {
    person.patch(&format!("/v1/messages/{}", message["id"]), &json!({"content": content})).await
}

async fn delete(person: &Person, message: &Value) -> Answer {
    person.delete(&format!("/v1/messages/{}", message["id"])).await
}

/// Sends one message for each character of a text to a room. Returns the ids.
async fn send_each(person: &Person, contents: &str) -> (i64, Vec<i64>) {
    let room = make_room(person, &[]).await;
    let mut ids = Vec::new();
    for content in contents.chars() {
        ids.push(person.send_message(room, &content.to_string()).await["id"].as_i64().unwrap());
    }
    (room, ids)
}

/// Each gateway caches newest pages by room and limit.
#[tokio::test]
async fn a_cached_page_shows_later_changes() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let first = anna.send_message(room, "a").await;
    let steps = ["", "send", "edit", "other room", "delete"];
    let expected = [("a", "a"), ("ab", "b"), ("xb", "b"), ("xb", "b"), ("b", "b")];
    for (step, (all, last)) in steps.into_iter().zip(expected) {
        match step {
            "send" => drop(ben.send_message(room, "b").await),
            "edit" => drop(edit(&anna, &first, "x").await.ok(200)),
            "delete" => drop(delete(&anna, &first).await.ok(204)),
            "other room" => drop(send_each(&ben, "c").await),
            _ => {}
        }
        for gateway in [0, 1, 0, 1] {
            for reader in [&anna, &ben] {
                let reader = reader.at(stack, gateway);
                assert_eq!(page(&reader, room, "").await, (all.to_owned(), false), "{step}");
                assert_eq!(
                    page(&reader, room, "?limit=1").await,
                    (last.to_owned(), all.len() > 1),
                    "{step}"
                );
            }
        }
    }
    anna.delete(&format!("/v1/rooms/{room}/members/{}", ben.name)).await.ok(204);
    for gateway in [0, 1] {
        history(&ben.at(stack, gateway), room, "").await.refused(403, "not_a_member");
    }
}

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
async fn history_is_read_backwards_from_the_newest() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abcdefg").await;
    assert_eq!(page(&anna, room, "?limit=3").await, ("efg".to_owned(), true));
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[4])).await,
        ("bcd".to_owned(), true)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[1])).await,
        ("a".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[0])).await,
        (String::new(), false)
    );
}

#[tokio::test]
async fn history_is_read_forwards_after_an_id() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abcdefg").await;
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[0])).await,
        ("bcd".to_owned(), true)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[3])).await,
        ("efg".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[6])).await,
        (String::new(), false)
    );
}

#[tokio::test]
async fn has_more_is_exact_at_the_end() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abc").await;
    assert_eq!(page(&anna, room, "?limit=3").await, ("abc".to_owned(), false));
    assert_eq!(page(&anna, room, "?limit=2").await, ("bc".to_owned(), true));
    assert_eq!(
        page(&anna, room, &format!("?limit=2&before_id={}", ids[2])).await,
        ("ab".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=2&after_id={}", ids[0])).await,
        ("bc".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=1&after_id={}", ids[0])).await,
        ("b".to_owned(), true)
    );
}

#[tokio::test]
async fn ids_in_the_query_are_numbers_that_need_not_exist() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abc").await;
    delete(&anna, &json!({"id": ids[1]})).await.ok(204);
    for (query, expected) in [
        (format!("?before_id={}", i64::MAX), "ac"),
        ("?before_id=1".to_owned(), ""),
        (format!("?before_id={}", ids[1]), "a"),
        ("?after_id=1".to_owned(), "ac"),
        (format!("?after_id={}", ids[1]), "c"),
        (format!("?after_id={}", i64::MAX), ""),
    ] {
        assert_eq!(page(&anna, room, &query).await, (expected.to_owned(), false), "{query}");
    }
}

#[tokio::test]
async fn a_page_has_fifty_messages_by_default() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    join_all((0..51).map(|_| anna.send_message(room, "x"))).await;
    assert_eq!(page(&anna, room, "").await, ("x".repeat(50), true));
    assert_eq!(page(&anna, room, "?limit=100").await, ("x".repeat(51), false));
}

#[tokio::test]
async fn the_query_of_history_is_checked_before_the_room() {
    let anna = person(stack().await).await;
    let beyond = "99999999999999999999";
    for (query, expected) in [
        ("?limit=0".to_owned(), "query.limit greater_than_equal"),
        ("?limit=-5".to_owned(), "query.limit greater_than_equal"),
        ("?limit=101".to_owned(), "query.limit less_than_equal"),
        (format!("?limit={beyond}"), "query.limit less_than_equal"),
        ("?limit=".to_owned(), "query.limit int_parsing"),
        ("?limit=ten".to_owned(), "query.limit int_parsing"),
        ("?limit=1.5".to_owned(), "query.limit int_parsing"),
        ("?before_id=0".to_owned(), "query.before_id greater_than_equal"),
        (format!("?before_id=-{beyond}"), "query.before_id greater_than_equal"),
        (format!("?before_id={beyond}"), "query.before_id less_than_equal"),
        ("?before_id=".to_owned(), "query.before_id int_parsing"),
        ("?after_id=0".to_owned(), "query.after_id greater_than_equal"),
        (format!("?after_id={beyond}"), "query.after_id less_than_equal"),
        ("?after_id=null".to_owned(), "query.after_id int_parsing"),
        ("?after_id=1&before_id=2".to_owned(), "query.after_id value_error"),
    ] {
        history(&anna, NOWHERE, &query).await.invalid(&[expected]);
    }
    let all = [
        "query.limit greater_than_equal",
        "query.before_id int_parsing",
        "query.after_id less_than_equal",
    ];
    history(&anna, NOWHERE, &format!("?limit=0&before_id=x&after_id={beyond}")).await.invalid(&all);
}

#[tokio::test]
async fn only_members_read_history() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    history(&ben, NOWHERE, "").await.refused(404, "room_not_found");
    history(&ben, room, "").await.refused(403, "not_a_member");
}

#[tokio::test]
async fn members_read_messages_from_before_they_joined() {
    let [anna, ben] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    let (room, _) = send_each(&anna, "abc").await;
    anna.post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": [ben.name]}))
        .await
        .ok(200);
    assert_eq!(page(&ben, room, "").await, ("abc".to_owned(), false));
}

#[tokio::test]
async fn deleted_messages_are_absent_from_history() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (room, ids) = send_each(&anna, "abcd").await;
    let answer = delete(&anna, &json!({"id": ids[0]})).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    delete(&anna, &json!({"id": ids[2]})).await.ok(204);
    assert_eq!(page(&anna.at(stack, 1), room, "?limit=2").await, ("bd".to_owned(), false));
    assert_eq!(
        page(&anna, room, &format!("?limit=2&before_id={}", ids[3])).await,
        ("b".to_owned(), false)
    );
}

#[tokio::test]
async fn editing_changes_the_content_and_not_the_order() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let before = anna.send_message(room, "before").await;
    anna.send_message(room, "later").await;
    let after = edit(&anna.at(stack, 1), &before, " after ").await.ok(200);
    assert_message(&after);
    assert_eq!(after["content"], " after ");
    assert!(after["edited_at"].as_str() > before["created_at"].as_str());
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    for member in ["id", "room_id", "sender", "created_at", "seq"] {
        assert_eq!(after[member], before[member]);
    }
    assert_eq!(anna.history(room).await[0], after);
}

#[tokio::test]
async fn editing_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "mine").await;
    edit(&carl, &json!({"id": NOWHERE}), "").await.invalid(&["body.content string_too_short"]);
    edit(&ben, &json!({"id": NOWHERE}), "x").await.refused(404, "message_not_found");
    edit(&carl, &message, "x").await.refused(404, "message_not_found");
    edit(&anna, &message, "x").await.refused(403, "not_the_sender");
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn deleting_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = anna.send_message(room, "mine").await;
    delete(&carl, &json!({"id": NOWHERE})).await.refused(404, "message_not_found");
    delete(&carl, &message).await.refused(404, "message_not_found");
    delete(&ben, &message).await.refused(403, "not_the_sender");
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn the_owner_of_a_room_deletes_messages_of_others() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "rude").await;
    delete(&anna, &message).await.ok(204);
    assert!(ben.history(room).await.is_empty());
}

#[tokio::test]
async fn in_a_system_room_users_delete_only_their_own_messages() {
    let [anna, ben] = people(stack().await).await;
    let room = become_contacts(&anna, &ben).await;
    let message = ben.send_message(room, "x").await;
    delete(&anna, &message).await.refused(403, "not_the_sender");
    delete(&ben, &message).await.ok(204);
}

#[tokio::test]
async fn a_deleted_message_is_not_found() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let message = anna.send_message(room, "x").await;
    delete(&anna, &message).await.ok(204);
    delete(&anna, &message).await.refused(404, "message_not_found");
    edit(&anna, &message, "y").await.refused(404, "message_not_found");
}

#[tokio::test]
async fn former_members_cannot_change_messages() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "mine").await;
    ben.post_empty(&format!("/v1/rooms/{room}/leave")).await.ok(204);
    for ben in [ben.at(stack, 1), ben] {
        edit(&ben, &message, "x").await.refused(404, "message_not_found");
        delete(&ben, &message).await.refused(404, "message_not_found");
    }
    assert_eq!(anna.history(room).await, [message]);
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
