//! The contract of the WebSocket, frame by frame.

mod bad_frames;
mod catching_up;
mod connecting;
mod frames;
mod membership;
mod not_reading;
mod order;
mod storm;

use serde_json::{Value, json};

use crate::support::Person;

/// Asserts an `error` frame with this code and this `ref`.
#[track_caller]
pub(crate) fn assert_error(frame: &Value, code: &str, reference: Option<&str>) {
    assert_eq!((&frame["type"], &frame["code"]), (&json!("error"), &json!(code)), "{frame}");
    assert_eq!(frame.get("ref").and_then(Value::as_str), reference, "{frame}");
    let sentence = frame["error"].as_str().unwrap();
    assert!(!sentence.is_empty() && sentence.chars().count() < 1_000, "{frame}");
}

/// A frame that sends a message.
pub(crate) fn message_to(room: i64, content: &str) -> Value {
    json!({"type": "send_message", "room_id": room, "content": content})
}

/// A frame that sends a message and requests an `ack`.
pub(crate) fn message_with_ref(room: i64, content: &str, reference: &str) -> Value {
    json!({"type": "send_message", "room_id": room, "content": content, "ref": reference})
}

/// All messages of a room, oldest first, read page by page.
pub(crate) async fn whole_history(person: &Person, room: i64) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    let mut query = String::new();
    loop {
        let page = person
            .get(&format!("/v1/messages/rooms/{room}/history?limit=100{query}"))
            .await
            .ok(200);
        let older = page["messages"].as_array().unwrap();
        messages.splice(0..0, older.iter().cloned());
        if page["has_more"] == false {
            return messages;
        }
        query = format!("&before_id={}", older[0]["id"]);
    }
}
