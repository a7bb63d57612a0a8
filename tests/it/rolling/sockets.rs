//! Simulated clients that chat in a room: senders repeat messages that were not acked, subscribers
//! reconnect with `after_seq`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Load;
use crate::support::{Ended, Person, Socket};
use crate::ws::{message_to, whole_history};

const SENDERS: usize = 2;
const SUBSCRIBERS: usize = 2;

/// Chats in a room while the load runs, and compares afterwards the sent, acked, received and
/// stored messages.
pub(super) async fn talk(load: &Load<'_>, person: &Person, room: i64) {
    let sending = async {
        let acks = join_all((0..SENDERS).map(|sender| send(load, person, room, sender))).await;
        let last = format!("The end {room}");
        send_until_acked(load, person, room, &mut None, &last).await;
        acks
    };
    let subscribing = join_all((0..SUBSCRIBERS).map(|_| subscribe(load, person, room)));
    let (acks, seen) = tokio::join!(sending, subscribing);

    let history = whole_history(person, room).await;
    let seqs = history.iter().map(|message| message["seq"].as_i64().unwrap());
    assert!(seqs.eq(1..=history.len() as i64), "every message is stored at its number");
    let contents: HashSet<&Value> = history.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents.len(), history.len(), "every message is stored once");
    for ack in acks.iter().flatten() {
        let stored = &history[ack["seq"].as_u64().unwrap() as usize - 1];
        assert_eq!(
            (&stored["id"], &stored["content"]),
            (&ack["message_id"], &ack["client_msg_id"])
        );
    }
    assert_eq!(acks.iter().flatten().count() + 1, history.len());
    for messages in seen {
        assert_eq!(messages.len(), history.len());
        // One by one: a failure shows only the message that differs.
        messages.iter().zip(&history).for_each(|(seen, stored)| assert_eq!(seen, stored));
    }
}

/// Sends numbered messages one after the other. Returns their acks.
async fn send(load: &Load<'_>, person: &Person, room: i64, sender: usize) -> Vec<Value> {
    let mut socket = None;
    let mut acks = Vec::new();
    while load.goes_on() {
        let content = format!("{room} {sender} {}", acks.len());
        acks.push(send_until_acked(load, person, room, &mut socket, &content).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acks
}

async fn send_until_acked(
    load: &Load<'_>,
    person: &Person,
    room: i64,
    socket: &mut Option<Socket>,
    content: &str,
) -> Value {
    let mut frame = message_to(room, content);
    frame["client_msg_id"] = json!(content);
    loop {
        let mut open = match socket.take() {
            Some(open) => open,
            None => connect(load, person).await,
        };
        // A lost frame has no answer and is sent again.
        open.send_if_open(frame.to_string().into()).await;
        match open.frame_or_end().await {
            Ok(answer) => {
                assert_eq!(answer["type"], "ack", "{answer}");
                *socket = Some(open);
                return answer;
            }
            Err(ended) => assert_eq!(ended, Ended(Some(1012))),
        }
    }
}

/// Subscribes, and subscribes again with `after_seq` whenever the connection ends. Returns the
/// messages up to the last one.
async fn subscribe(load: &Load<'_>, person: &Person, room: i64) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let mut socket = connect(load, person).await;
        socket
            .send(&json!({"type": "subscribe", "room_id": room, "after_seq": messages.len()}))
            .await;
        loop {
            match socket.frame_or_end().await {
                Ok(frame) if frame["type"] == "message" => messages.push(frame["message"].clone()),
                Ok(frame) => {
                    assert_eq!(frame["message"], format!("Subscribed to room {room}"), "{frame}");
                    assert_eq!(frame.get("resync"), None);
                }
                Err(ended) => {
                    assert_eq!(ended, Ended(Some(1012)));
                    break;
                }
            }
            if messages
                .last()
                .is_some_and(|message| message["content"] == format!("The end {room}"))
            {
                return messages;
            }
        }
    }
}

/// Opens an authenticated WebSocket at any gateway that accepts it, and reads its first frame.
pub(super) async fn connect(load: &Load<'_>, person: &Person) -> Socket {
    for gateway in load.balancer.gateways() {
        let Some(mut socket) =
            Socket::try_open(load.stack.address("gateway", gateway), &person.token).await
        else {
            assert!(
                load.balancer.was_leaving(gateway, Instant::now()),
                "gateway {gateway} takes no socket"
            );
            continue;
        };
        match socket.frame_or_end().await {
            Ok(welcome) => {
                assert_eq!(welcome["user_id"], person.id, "{welcome}");
                return socket;
            }
            Err(ended) => assert_eq!(ended, Ended(Some(1012))),
        }
    }
    panic!("no gateway takes a socket");
}
