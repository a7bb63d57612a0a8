//! The calls of these tests.

use serde_json::{Value, json};

use crate::support::{Answer, Person, assert_members, assert_message, make_room};

/// An id that no room and no message has.
pub(super) const NOWHERE: i64 = i64::MAX;

pub(super) async fn send(person: &Person, room: i64, body: Value) -> Answer {
    person.post(&format!("/v1/messages/rooms/{room}"), &body).await
}

pub(super) async fn history(person: &Person, room: i64, query: &str) -> Answer {
    person.get(&format!("/v1/messages/rooms/{room}/history{query}")).await
}

/// A page of history: its contents, joined, and `has_more`.
pub(super) async fn page(person: &Person, room: i64, query: &str) -> (String, bool) {
    let page = history(person, room, query).await.ok(200);
    assert_members(&page, &["messages", "has_more"]);
    let messages = page["messages"].as_array().unwrap();
    messages.iter().for_each(assert_message);
    let contents = messages.iter().map(|message| message["content"].as_str().unwrap());
    (contents.collect(), page["has_more"].as_bool().unwrap())
}

pub(super) async fn edit(person: &Person, message: &Value, content: &str) -> Answer {
    person.patch(&format!("/v1/messages/{}", message["id"]), &json!({"content": content})).await
}

pub(super) async fn delete(person: &Person, message: &Value) -> Answer {
    person.delete(&format!("/v1/messages/{}", message["id"])).await
}

/// Sends one message for each character of a text to a room. Returns the ids.
pub(super) async fn send_each(person: &Person, contents: &str) -> (i64, Vec<i64>) {
    let room = make_room(person, &[]).await;
    let mut ids = Vec::new();
    for content in contents.chars() {
        ids.push(person.send_message(room, &content.to_string()).await["id"].as_i64().unwrap());
    }
    (room, ids)
}
