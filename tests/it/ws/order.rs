//! All subscribers see one order.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use parlance_client::Message;
use serde_json::{Value, json};

use super::{assert_error, message_to, message_with_ref, whole_history};
use crate::support::{
    Ended, Person, Socket, event_seq, eventually, make_room, people, person, stack,
};

#[tokio::test]
async fn frames_of_one_connection_are_stored_in_the_order_sent() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.socket().await;
    for number in 0..200 {
        socket.send(&message_with_ref(room, &number.to_string(), &number.to_string())).await;
    }
    for number in 0..200 {
        let ack = socket.next().await;
        assert_eq!(
            (ack["ref"].as_str(), ack["seq"].as_i64()),
            (Some(number.to_string().as_str()), Some(number + 1))
        );
    }
    let contents: Vec<i64> = whole_history(&anna, room)
        .await
        .iter()
        .map(|message| message["content"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(contents.into_iter().eq(0..200));
}

#[tokio::test]
async fn frames_sent_before_the_close_are_handled() {
    let anna = person(stack().await).await;
    for _ in 0..20 {
        let room = make_room(&anna, &[]).await;
        let (first, second) =
            (anna.send_message(room, "Edit me").await, anna.send_message(room, "Delete me").await);
        let mut socket = anna.socket().await;
        for frame in [
            json!({"type": "edit_message", "message_id": first["id"], "content": "edited"}),
            json!({"type": "delete_message", "message_id": second["id"]}),
            json!({"type": "subscribe", "room_id": room}),
            message_to(room, "sent"),
        ] {
            socket.send(&frame).await;
        }
        socket.send_raw(Message::Close(None)).await;
        eventually(Duration::from_secs(10), "all of it is carried out", async || {
            let history = whole_history(&anna, room).await;
            history.iter().map(|message| &message["content"]).eq(["edited", "sent"])
        })
        .await;
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_frames() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = anna.send_message(room, "Edit me").await;
    let mut socket = ben.socket().await;
    let frames = [
        message_with_ref(room, "1", "0"),
        json!({"type": "send_message", "room_id": room, "content": "", "ref": "1"}),
        message_with_ref(room, "2", "2"),
        json!({"type": "subscribe", "room_id": room, "ref": "3"}),
        json!({"type": "unsubscribe", "room_id": room, "ref": "4"}),
        message_with_ref(room, "3", "5"),
        json!({"type": "edit_message", "message_id": message["id"], "content": "x", "ref": "6"}),
        json!({"type": "dance", "ref": "7"}),
        json!({"type": "ping", "ref": "8"}),
        message_with_ref(i64::MAX, "4", "9"),
        json!({"type": "delete_message", "message_id": message["id"], "ref": "10"}),
        message_with_ref(room, "5", "11"),
    ];
    let expected = [
        "ack",
        "content_invalid",
        "ack",
        "success",
        "success",
        "ack",
        "not_the_sender",
        "unknown_type",
        "pong",
        "room_not_found",
        "not_the_sender",
        "ack",
    ];
    for _ in 0..5 {
        for frame in &frames {
            socket.send(frame).await;
        }
        for (number, expected) in expected.iter().enumerate() {
            let answer = socket.next().await;
            assert_eq!(answer["ref"], number.to_string(), "{answer}");
            if answer["type"] == "error" {
                assert_error(&answer, expected, Some(&number.to_string()));
            } else {
                assert_eq!(answer["type"], *expected, "{answer}");
            }
        }
    }
}

/// Sends messages without waiting for acks. Returns the acked ids.
async fn send_many(mut socket: Socket, room: i64, name: usize, count: usize) -> Vec<i64> {
    for number in 0..count {
        socket
            .send(&message_with_ref(room, &format!("{name}/{number}"), &number.to_string()))
            .await;
    }
    let mut ids = Vec::new();
    for number in 0..count {
        let ack = socket.next().await;
        assert_eq!(
            (&ack["type"], &ack["ref"]),
            (&json!("ack"), &json!(number.to_string())),
            "{ack}"
        );
        ids.push(ack["message_id"].as_i64().unwrap());
    }
    ids
}

/// The messages of the next events of a subscriber.
async fn take_messages(mut socket: Socket, count: usize) -> Vec<Value> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(socket.next().await["message"].clone());
    }
    assert_eq!(socket.so_far().await, [Value::Null; 0], "nothing comes twice");
    messages
}

#[tokio::test]
async fn fifty_parallel_senders_get_one_order_without_gaps() {
    const SENDERS: usize = 50;
    const EACH: usize = 20;
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    let room = make_room(&anna, &[&ben, &carl]).await;
    let people: Vec<Person> = [&anna, &ben, &carl]
        .iter()
        .flat_map(|person| [person.at(stack, 0), person.at(stack, 1)])
        .collect();
    let subscribers = join_all(people.iter().map(|person| person.subscribed(room))).await;
    let senders = join_all((0..SENDERS).map(|index| people[index % people.len()].socket())).await;

    let sending = join_all(
        senders.into_iter().enumerate().map(|(name, socket)| send_many(socket, room, name, EACH)),
    );
    let listening =
        join_all(subscribers.into_iter().map(|socket| take_messages(socket, SENDERS * EACH)));
    let (acked, seen) = tokio::join!(sending, listening);

    let history = whole_history(&anna, room).await;
    assert!(
        history
            .iter()
            .map(|message| message["seq"].as_i64().unwrap())
            .eq(1..=(SENDERS * EACH) as i64)
    );
    assert!(history.is_sorted_by_key(|message| message["id"].as_i64()));
    assert!(history.is_sorted_by_key(|message| message["created_at"].as_str().unwrap().to_owned()));
    for seen in seen {
        assert_eq!(seen, history, "delivery order is history order");
    }
    let stored: HashSet<i64> =
        history.iter().map(|message| message["id"].as_i64().unwrap()).collect();
    let acked: Vec<i64> = acked.into_iter().flatten().collect();
    assert_eq!(acked.len(), history.len());
    assert_eq!(
        acked.into_iter().collect::<HashSet<_>>(),
        stored,
        "every acked message is there once"
    );
}

#[tokio::test]
async fn a_slow_consumer_is_disconnected_and_delays_no_other() {
    const MESSAGES: i64 = 1_200;
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut lazy = ben.subscribed(room).await;
    let mut reader = ben.subscribed(room).await;
    let mut far_reader = ben.at(stack, 1).subscribed(room).await;
    let content = "x".repeat(16_000);
    let sender = anna.socket().await;
    let flood = async {
        let mut sender = sender;
        for _ in 0..MESSAGES / 50 {
            for _ in 0..50 {
                sender.send(&message_with_ref(room, &content, "f")).await;
            }
            for _ in 0..50 {
                assert_eq!(sender.next().await["type"], "ack");
            }
        }
    };
    let near = async {
        for seq in 1..=MESSAGES {
            assert_eq!(event_seq(&reader.next().await), seq);
        }
    };
    let far = async {
        for seq in 1..=MESSAGES {
            assert_eq!(event_seq(&far_reader.next().await), seq);
        }
    };
    tokio::join!(flood, near, far);

    let mut last_seen = 0;
    let end = loop {
        match lazy.frame_or_end().await {
            Ok(frame) => {
                assert_eq!(
                    event_seq(&frame),
                    last_seen + 1,
                    "what came before the end is in order"
                );
                last_seen += 1;
            }
            Err(end) => break end,
        }
    };
    assert!(matches!(end, Ended(None | Some(4429))), "{end:?}");
    assert!(last_seen < MESSAGES, "twenty megabytes fit into no queue");
    // It reconnects and receives the missed events as fast as it reads.
    let mut back = ben.socket().await;
    let after = last_seen.max(MESSAGES - 900);
    back.send(&json!({"type": "subscribe", "room_id": room, "after_seq": after})).await;
    assert_eq!(back.next().await["head_seq"], MESSAGES);
    for seq in after + 1..=MESSAGES {
        assert_eq!(event_seq(&back.next().await), seq);
    }
    assert!(back.send_if_open(Message::text(message_to(room, "Thanks").to_string())).await);
    assert_eq!(back.next().await["message"]["content"], "Thanks");
}
