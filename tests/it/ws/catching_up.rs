//! Subscribing with `after_seq`.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{message_to, message_with_ref, whole_history};
use crate::support::{Person, Socket, event_seq, make_room, people, person, stack};

async fn subscribe_after(socket: &mut Socket, room: i64, after_seq: impl Into<Value>) -> Value {
    socket.ask(&json!({"type": "subscribe", "room_id": room, "after_seq": after_seq.into()})).await
}

/// The state of a client: the messages of a room and the last `seq`.
#[derive(Default)]
struct Copy {
    last_seq: i64,
    messages: BTreeMap<i64, Value>,
}

impl Copy {
    /// Applies an event, which must have a higher `seq` than all before.
    fn apply(&mut self, event: &Value) {
        let seq = event_seq(event);
        assert!(seq > self.last_seq, "{event} came after {}", self.last_seq);
        self.last_seq = seq;
        if event["type"] == "message_deleted" {
            self.messages.remove(&event["message_id"].as_i64().unwrap());
        } else {
            self.messages
                .insert(event["message"]["id"].as_i64().unwrap(), event["message"].clone());
        }
    }

    fn messages(self) -> Vec<Value> {
        self.messages.into_values().collect()
    }
}

#[tokio::test]
async fn without_missed_events_nothing_is_replayed() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    anna.send_message(room, "1").await;
    let mut socket = anna.socket().await;
    let answer = subscribe_after(&mut socket, room, 1).await;
    assert_eq!((&answer["head_seq"], answer.get("resync")), (&json!(1), None));
    assert_eq!(socket.so_far().await, [Value::Null; 0]);
    anna.send_message(room, "2").await;
    assert_eq!(socket.next().await["message"]["content"], "2");
}

#[tokio::test]
async fn missed_events_are_replayed_in_order_with_present_content() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut ids = Vec::new();
    for content in
        ["seen", "seen, edited", "seen, deleted", "missed", "missed, edited", "missed, deleted"]
    {
        ids.push(anna.send_message(room, content).await["id"].clone());
    }
    let path = |index: usize| format!("/v1/messages/{}", ids[index]);
    for (index, content) in [(1, "overtaken"), (4, "new"), (1, "edited")] {
        anna.patch(&path(index), &json!({"content": content})).await.ok(200);
    }
    anna.delete(&path(2)).await.ok(204);
    anna.delete(&path(5)).await.ok(204);

    let mut socket = anna.socket().await;
    assert_eq!(subscribe_after(&mut socket, room, 3).await["head_seq"], 11);
    let events = socket.so_far().await;
    let received: Vec<(&str, i64)> =
        events.iter().map(|event| (event["type"].as_str().unwrap(), event_seq(event))).collect();
    assert_eq!(
        received,
        [("message", 4), ("message", 5), ("message_edited", 9), ("message_deleted", 10)]
    );
    assert_eq!(events[1]["message"]["content"], "new");
    assert_eq!(
        (&events[2]["message"]["content"], &events[2]["message"]["seq"]),
        (&json!("edited"), &json!(2))
    );
    assert_eq!(
        events[3],
        json!({"type": "message_deleted", "room_id": room, "message_id": ids[2], "seq": 10})
    );
}

#[tokio::test]
async fn up_to_a_thousand_missed_events_are_replayed_and_more_are_not() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut sender = anna.socket().await;
    for number in 0..1_001 {
        sender.send(&message_with_ref(room, "x", "r")).await;
        if number >= 50 {
            sender.next().await;
        }
    }
    while sender.next().await["seq"] != 1_001 {}

    let mut socket = anna.socket().await;
    let answer = subscribe_after(&mut socket, room, 1).await;
    assert_eq!((&answer["head_seq"], answer.get("resync")), (&json!(1_001), None));
    for seq in 2..=1_001 {
        assert_eq!(event_seq(&socket.next().await), seq);
    }
    assert_eq!(socket.so_far().await, [Value::Null; 0]);

    let mut socket = anna.socket().await;
    let answer = subscribe_after(&mut socket, room, 0).await;
    assert_eq!((&answer["head_seq"], &answer["resync"]), (&json!(1_001), &json!(true)));
    sender.ask(&message_with_ref(room, "live", "r")).await;
    assert_eq!(event_seq(&socket.next().await), 1_002, "no replay, and live events");
}

#[tokio::test]
async fn an_after_seq_beyond_the_head_is_answered_with_resync() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    for after_seq in [json!(1), json!(i64::MAX), json!(u64::MAX)] {
        let mut socket = anna.socket().await;
        let answer = subscribe_after(&mut socket, room, after_seq).await;
        assert_eq!((&answer["head_seq"], &answer["resync"]), (&json!(0), &json!(true)));
    }
}

#[tokio::test]
async fn a_replay_of_long_messages_is_complete() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    // Each byte becomes six in JSON: 100 messages are six megabytes, far more than a send queue
    // holds.
    let content = "\u{1}".repeat(10_000);
    let sends = (0..100).map(|_| anna.send_message(room, &content));
    join_all(sends).await;
    let mut socket = anna.socket().await;
    assert_eq!(subscribe_after(&mut socket, room, 0).await["head_seq"], 100);
    for seq in 1..=100 {
        let event = socket.next().await;
        assert_eq!(
            (event_seq(&event), event["message"]["content"].as_str()),
            (seq, Some(content.as_str()))
        );
    }
    anna.send_message(room, "live").await;
    assert_eq!(event_seq(&socket.next().await), 101);
}

#[tokio::test]
async fn resubscribing_under_load_leaves_no_gap_and_repeats_nothing() {
    const MESSAGES: i64 = 600;
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut sender = anna.socket().await;
    let sending = async {
        for _ in 0..MESSAGES {
            assert_eq!(sender.ask(&message_with_ref(room, "x", "r")).await["type"], "ack");
        }
    };
    let listening = async {
        let mut last_seq = 0;
        for round in 0.. {
            let mut socket = ben.at(stack, round % 2).socket().await;
            assert!(subscribe_after(&mut socket, room, last_seq).await.get("resync").is_none());
            for _ in 0..40 {
                let seq = event_seq(&socket.next().await);
                assert_eq!(seq, last_seq + 1);
                last_seq = seq;
                if seq == MESSAGES {
                    assert_eq!(socket.so_far().await, [Value::Null; 0]);
                    return;
                }
            }
            socket.drop_connection();
        }
    };
    tokio::join!(sending, listening);
}

/// Makes random changes in a room over one WebSocket.
async fn change_at_random(person: Person, room: i64, seed: u64, steps: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut socket = person.socket().await;
    let mut own: Vec<Value> = Vec::new();
    for step in 0..steps {
        let choice = if own.is_empty() { 0 } else { random.random_range(0..10) };
        match choice {
            0..=5 => {
                let ack = socket.ask(&message_with_ref(room, &format!("{seed} {step}"), "m")).await;
                own.push(ack["message_id"].clone());
            }
            6..=8 => {
                let id = &own[random.random_range(0..own.len())];
                let content = format!("{seed} {step}, edited");
                let frame = json!({"type": "edit_message", "message_id": id, "content": content});
                assert_eq!(socket.ask(&frame).await["type"], "success");
            }
            _ => {
                let id = own.swap_remove(random.random_range(0..own.len()));
                let frame = json!({"type": "delete_message", "message_id": id});
                assert_eq!(socket.ask(&frame).await["type"], "success");
            }
        }
    }
}

/// Follows a room up to a message with this content, and drops the connection now and then.
async fn follow(
    person: Person,
    at: impl Fn(usize) -> Person,
    room: i64,
    seed: u64,
    last: &str,
) -> Vec<Value> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut copy = Copy::default();
    for round in 0.. {
        let mut socket = if round == 0 {
            person.socket().await
        } else {
            at(random.random_range(0..2)).socket().await
        };
        let answer = subscribe_after(&mut socket, room, copy.last_seq).await;
        assert!(answer.get("resync").is_none(), "{answer}");
        for _ in 0..random.random_range(1..60) {
            let event = socket.next().await;
            copy.apply(&event);
            if event["message"]["content"] == last {
                return copy.messages();
            }
        }
    }
    unreachable!("a range without an end")
}

#[tokio::test]
async fn a_snapshot_and_the_events_since_equal_a_fresh_snapshot() {
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    let room = make_room(&anna, &[&ben, &carl]).await;
    let seed: u64 = rand::random();
    println!("the seed is {seed}");
    let meddling = async {
        let people = [&anna, &ben, &carl];
        let meddlers = (0..6_u64).map(|index| {
            let person = people[index as usize % 3].at(stack, index as usize % 2);
            change_at_random(person, room, seed.wrapping_add(index), 80)
        });
        join_all(meddlers).await;
        anna.socket().await.ask(&message_with_ref(room, "The end", "m")).await;
    };
    let following = join_all((10..14_u64).map(|index| {
        let person = carl.clone();
        let at = |gateway| carl.at(stack, gateway);
        follow(person, at, room, seed.wrapping_add(index), "The end")
    }));
    let ((), copies) = tokio::join!(meddling, following);
    let history = whole_history(&ben, room).await;
    for copy in copies {
        assert_eq!(copy, history);
    }
}

#[tokio::test]
async fn a_new_member_replays_from_the_start() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    anna.send_message(room, "Before Ben").await;
    crate::support::become_contacts(&anna, &ben).await;
    anna.post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": [ben.name]}))
        .await
        .ok(200);
    let mut socket = ben.socket().await;
    subscribe_after(&mut socket, room, 0).await;
    assert_eq!(socket.next().await["message"]["content"], "Before Ben");
    socket.send(&message_to(room, "Hello")).await;
    assert_eq!(event_seq(&socket.next().await), 2);
}
