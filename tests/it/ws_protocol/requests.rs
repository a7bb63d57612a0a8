//! Requests in front of a close frame.

use serde_json::{Value, json};

use super::case::{exchange, open};
use super::wire::{CLOSE, Received, TEXT, close, frame};
use crate::support::{make_room, person, stack};
use crate::ws::message_with_ref;

/// The replay takes longer than the close frame.
const REPLAYED: usize = 60;
const MESSAGES: usize = 20;

fn text(frame: &Received) -> Value {
    assert_eq!(frame.opcode, TEXT, "{frame:?}");
    serde_json::from_slice(&frame.payload).unwrap()
}

fn assert_closed(frame: Option<Received>, code: u16) {
    let expected = Received { opcode: CLOSE, payload: code.to_be_bytes().to_vec() };
    assert_eq!(frame, Some(expected));
}

#[tokio::test]
async fn messages_before_a_close_frame_are_stored_and_acknowledged() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let send = |index: usize| message_with_ref(room, &index.to_string(), &index.to_string());
    let messages = (0..MESSAGES).map(|index| frame(TEXT, send(index).to_string()));
    let sent = messages.chain([close(1000, "")]).collect::<Vec<_>>().concat();

    let mut received = exchange(open(&anna, &[]).await, &sent, sent.len()).await.unwrap();
    assert_closed(received.pop(), 1000);
    let acks: Vec<Value> = received.iter().map(text).collect();
    let references: Vec<&Value> = acks.iter().map(|ack| &ack["ref"]).collect();
    let expected: Vec<Value> = (0..MESSAGES).map(|index| json!(index.to_string())).collect();
    assert!(acks.iter().all(|ack| ack["type"] == "ack"), "{acks:?}");
    assert_eq!(references, expected.iter().collect::<Vec<_>>());
    assert_eq!(anna.history(room).await.len(), MESSAGES);
}

#[tokio::test]
async fn a_close_frame_is_answered_during_a_replay() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let content = "x".repeat(16_000);
    for _ in 0..REPLAYED {
        anna.send_message(room, &content).await;
    }
    let subscribe = json!({"type": "subscribe", "room_id": room, "after_seq": 0});
    for more in [&b""[..], &frame(TEXT, r#"{"type":"ping"}"#)] {
        let sent = [&frame(TEXT, subscribe.to_string())[..], more, &close(1000, "")].concat();
        let mut received = exchange(open(&anna, &[]).await, &sent, sent.len()).await.unwrap();
        assert_closed(received.pop(), 1000);
    }
}
