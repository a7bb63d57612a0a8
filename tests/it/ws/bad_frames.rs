//! Invalid frames, and whether the connection stays open.

use bytes::Bytes;
use parlance_client::Message;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::assert_error;
use crate::support::{Ended, Person, Socket, make_room, person, stack};

/// The close codes of the contract.
const DOCUMENTED: [u16; 10] = [1001, 1008, 1009, 1011, 1012, 1013, 4401, 4408, 4429, 1000];

#[tokio::test]
async fn invalid_members_are_named_and_the_connection_stays_open() {
    let mut socket = person(stack().await).await.socket().await;
    let long = "x".repeat(65);
    for frame in [
        json!({}),
        json!({"type": null}),
        json!({"type": 5}),
        json!({"type": "subscribe"}),
        json!({"type": "subscribe", "room_id": null}),
        json!({"type": "subscribe", "room_id": "5"}),
        json!({"type": "subscribe", "room_id": 0}),
        json!({"type": "subscribe", "room_id": -1}),
        json!({"type": "subscribe", "room_id": 1.5}),
        json!({"type": "subscribe", "room_id": u64::MAX}),
        json!({"type": "subscribe", "room_id": [1]}),
        json!({"type": "subscribe", "room_id": 1, "after_seq": -1}),
        json!({"type": "subscribe", "room_id": 1, "after_seq": "0"}),
        json!({"type": "subscribe", "room_id": 1, "after_seq": null}),
        json!({"type": "unsubscribe"}),
        json!({"type": "unsubscribe", "room_id": true}),
        json!({"type": "send_message", "content": "x"}),
        json!({"type": "send_message", "room_id": 1}),
        json!({"type": "send_message", "room_id": 1, "content": null}),
        json!({"type": "send_message", "room_id": 1, "content": 5}),
        json!({"type": "send_message", "room_id": 1, "content": "x", "client_msg_id": ""}),
        json!({"type": "send_message", "room_id": 1, "content": "x", "client_msg_id": 5}),
        json!({"type": "send_message", "room_id": 1, "content": "x", "client_msg_id": null}),
        json!({"type": "send_message", "room_id": 1, "content": "x", "client_msg_id": long}),
        json!({"type": "edit_message", "content": "x"}),
        json!({"type": "edit_message", "message_id": "1", "content": "x"}),
        json!({"type": "edit_message", "message_id": 1}),
        json!({"type": "delete_message"}),
        json!({"type": "delete_message", "message_id": 0}),
        json!({"type": "typing"}),
        json!({"type": "typing", "room_id": {}}),
    ] {
        let mut frame = frame;
        frame["ref"] = json!("r");
        assert_error(&socket.ask(&frame).await, "invalid_frame", Some("r"));
    }
    for reference in [json!(5), json!(null), json!(long)] {
        assert_error(
            &socket.ask(&json!({"type": "ping", "ref": reference})).await,
            "invalid_frame",
            None,
        );
    }
}

#[tokio::test]
async fn anything_but_an_object_is_invalid_json() {
    let mut socket = person(stack().await).await.socket().await;
    let deep = "[".repeat(30_000);
    for text in [
        "",
        "{",
        "hello",
        "[]",
        "1",
        "null",
        "\"ping\"",
        r#"{"type": "ping"} {}"#,
        r#"{"type": "\ud800"}"#,
        "NaN",
        &deep,
    ] {
        socket.send_raw(Message::text(text)).await;
        assert_error(&socket.next().await, "invalid_json", None);
    }
}

#[tokio::test]
async fn a_binary_frame_is_refused() {
    let mut socket = person(stack().await).await.socket().await;
    socket.send_raw(Message::binary(br#"{"type": "ping"}"#.to_vec())).await;
    assert_error(&socket.next().await, "invalid_frame", None);
    assert_eq!(socket.ask(&json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn an_unknown_type_is_named() {
    let mut socket = person(stack().await).await.socket().await;
    let answer = socket.ask(&json!({"type": "dance", "ref": "1"})).await;
    assert_error(&answer, "unknown_type", Some("1"));
    assert_eq!(answer["error"], "Unknown message type: dance");
    let long = socket.ask(&json!({"type": "\u{1F600}".repeat(5_000)})).await;
    assert_error(&long, "unknown_type", None);
}

#[tokio::test]
async fn invalid_contents_are_refused_and_the_longest_is_accepted() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let message = anna.send_message(room, "x").await;
    let mut socket = anna.socket().await;
    let too_long = "ä".repeat(8_193);
    for content in ["", " \n\t\u{3000}", "a\0b", &too_long] {
        let send = json!({"type": "send_message", "room_id": room, "content": content, "ref": "c"});
        assert_error(&socket.ask(&send).await, "content_invalid", Some("c"));
        let id = &message["id"];
        let edit = json!(
            {"type": "edit_message", "message_id": id, "content": content, "ref": "c"}
        );
        assert_error(&socket.ask(&edit).await, "content_invalid", Some("c"));
    }
    let largest = "ä".repeat(8_192);
    let ack = socket
        .ask(&json!({"type": "send_message", "room_id": room, "content": largest, "ref": "c"}))
        .await;
    assert_eq!(ack["type"], "ack");
    assert_eq!(anna.history(room).await[1]["content"], largest);
}

#[tokio::test]
async fn a_frame_over_64_kib_ends_the_connection_and_one_of_64_kib_does_not() {
    let anna = person(stack().await).await;
    let padded = |size: usize| {
        let frame = r#"{"type": "ping", "padding": ""}"#;
        frame.replace("\"\"}", &format!("\"{}\"}}", "x".repeat(size - frame.len())))
    };
    let mut socket = anna.socket().await;
    socket.send_raw(Message::text(padded(64 << 10))).await;
    assert_eq!(socket.next().await["type"], "pong");
    for size in [(64 << 10) + 1, 2 << 20] {
        let mut socket = anna.socket().await;
        socket.send_raw(Message::text(padded(size))).await;
        assert_eq!(socket.closed().await, Ended(Some(1009)));
        let mut socket = anna.api.socket().await;
        socket.send_raw(Message::binary(vec![0; size])).await;
        assert_eq!(socket.closed().await, Ended(Some(1009)), "before auth, too");
    }
}

fn json_of_any_shape() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(".{0,10}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const MEMBERS: [&str; 7] =
    ["room_id", "after_seq", "content", "client_msg_id", "message_id", "token", "ref"];

/// The payload of a control frame.
fn payload() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

/// Nearly valid frames, any JSON, any text, any bytes.
fn any_frame(room: i64) -> impl Strategy<Value = Message> {
    let types =
        "subscribe|unsubscribe|send_message|edit_message|delete_message|typing|ping|auth|.{0,10}";
    let value = prop_oneof![json_of_any_shape(), Just(json!(room)), Just(json!("x"))];
    let nearly_right =
        proptest::collection::hash_map(proptest::sample::select(&MEMBERS[..]), value, 0..5);
    let nearly_right = (types, nearly_right).prop_map(|(kind, members)| {
        let mut frame = json!({"type": kind});
        for (name, value) in members {
            frame[name] = value;
        }
        Message::text(frame.to_string())
    });
    prop_oneof![
        4 => nearly_right,
        2 => json_of_any_shape().prop_map(|value| Message::text(value.to_string())),
        1 => ".{0,200}".prop_map(Message::text),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Message::binary),
        1 => payload().prop_map(Message::Ping),
        1 => payload().prop_map(Message::Pong),
    ]
}

/// Sends frames until the connection ends. Returns how many were sent.
async fn send_all(socket: &mut Socket, frames: &[Message]) -> usize {
    for (sent, frame) in frames.iter().enumerate() {
        if !socket.send_if_open(frame.clone()).await {
            return sent;
        }
        // An `auth` frame may have ended the connection.
        if frame.to_text().is_ok_and(|text| text.contains("\"auth\"")) {
            return sent + 1;
        }
    }
    frames.len()
}

/// Reads up to the answer to a last ping, or to a close code of the contract.
async fn settle(socket: &mut Socket) {
    socket.send_if_open(Message::text(r#"{"type": "ping", "ref": "the last"}"#)).await;
    loop {
        match socket.frame_or_end().await {
            Ok(frame) if frame["ref"] == "the last" => return,
            Ok(frame) => assert!(frame["code"] != "internal_error", "{frame}"),
            Err(Ended(code)) => {
                assert!(code.is_none_or(|code| DOCUMENTED.contains(&code)), "{code:?}");
                return;
            }
        }
    }
}

async fn throw(anna: &Person, frames: &[Message]) {
    let mut rest = frames;
    while !rest.is_empty() {
        let mut socket = anna.socket().await;
        // Few frames at once: the answers are read afterwards and must fit into the buffers.
        let sent = send_all(&mut socket, &rest[..rest.len().min(50)]).await;
        settle(&mut socket).await;
        rest = &rest[sent.max(1)..];
    }
}

#[tokio::test]
async fn arbitrary_frames_leave_the_gateway_healthy() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let frames: Vec<Message> = {
        let mut runner = TestRunner::default();
        let strategy = any_frame(room);
        (0..600).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    };
    let id = stack.process("gateway", 0).id();
    throw(&anna, &frames).await;
    assert_eq!(stack.process("gateway", 0).id(), id);
    assert!(id.is_some());
    assert_eq!(anna.get("/v1/healthz").await.ok(200), json!({"status": "ok"}));
}
