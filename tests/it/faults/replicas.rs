//! Outages of one replica of messaging or rooms.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::Executor;

use super::calls::{history_path, send_until_acked};
use crate::support::{RECOVERY, RESTART, Socket, eventually, make_room, on_stack, people, person};
use crate::ws::{message_with_ref, whole_history};

/// Sends numbered messages one by one through all faults, and counts them. Returns the acks.
async fn keep_sending(
    mut socket: Socket,
    room: i64,
    name: &str,
    count: usize,
    acked: &AtomicUsize,
) -> Vec<Value> {
    let mut acks = Vec::new();
    for number in 0..count {
        acks.push(send_until_acked(&mut socket, room, &format!("{name} {number}")).await);
        acked.fetch_add(1, Ordering::Relaxed);
    }
    acks
}

/// The next messages up to the one with this content.
async fn messages_up_to(socket: &mut Socket, last: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message = socket.next().await["message"].clone();
        messages.push(message.clone());
        if message["content"] == last {
            return messages;
        }
    }
}

#[tokio::test]
async fn when_a_replica_of_messaging_dies_the_other_takes_over() {
    const EACH: usize = 150;
    on_stack(2, 2, async |stack| {
        let [anna, ben] = people(stack).await;
        // Several rooms, so that each replica owns some.
        let rooms = [
            make_room(&anna, &[&ben]).await,
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
        ];
        let mut listeners = Vec::new();
        for room in rooms {
            for gateway in 0..2 {
                listeners.push((room, anna.at(stack, gateway).subscribed(room).await));
            }
        }
        let acked = AtomicUsize::new(0);
        let mut sending = Vec::new();
        for room in rooms {
            for (gateway, name) in ["near", "far"].into_iter().enumerate() {
                let socket = anna.at(stack, gateway).socket().await;
                sending.push(keep_sending(socket, room, name, EACH, &acked));
            }
        }
        let hurting = async {
            for round in 0..4 {
                let enough = round * EACH;
                eventually(RECOVERY, "sends go on", async || {
                    acked.load(Ordering::Relaxed) > enough
                })
                .await;
                let process = stack.process("messaging", round % 2);
                process.kill().await.unwrap();
                process.restart(RESTART).await.unwrap();
            }
        };
        let (acks, ()) = tokio::join!(join_all(sending), hurting);

        let mut histories = HashMap::new();
        for room in rooms {
            send_until_acked(&mut anna.socket().await, room, "The end").await;
            let history = whole_history(&anna, room).await;
            let seqs = history.iter().map(|message| message["seq"].as_i64().unwrap());
            assert!(seqs.eq(1..=2 * EACH as i64 + 1), "every message is stored once");
            histories.insert(room, history);
        }
        for (room, mut socket) in listeners {
            assert_eq!(messages_up_to(&mut socket, "The end").await, histories[&room]);
        }
        for ack in acks.iter().flatten() {
            let history = &histories[&ack["room_id"].as_i64().unwrap()];
            let stored = &history[ack["seq"].as_u64().unwrap() as usize - 1];
            assert_eq!(stored["id"], ack["message_id"]);
        }
    })
    .await;
}

#[tokio::test]
async fn pipelined_sends_keep_their_order_while_replicas_come_and_go() {
    const MESSAGES: i64 = 3_000;
    on_stack(2, 1, async |stack| {
        let anna = person(stack).await;
        let rooms = [
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
        ];
        let sending = rooms.map(|room| {
            let anna = &anna;
            async move {
                let mut socket = anna.socket().await;
                let mut acked = 0;
                for number in 1..=MESSAGES {
                    socket.send(&message_with_ref(room, &number.to_string(), "p")).await;
                    if number - acked >= 30 {
                        assert_eq!(socket.next().await["type"], "ack");
                        acked += 1;
                    }
                }
                while acked < MESSAGES {
                    assert_eq!(socket.next().await["type"], "ack");
                    acked += 1;
                }
            }
        });
        let hurting = async {
            for replica in [0, 1] {
                let process = stack.process("messaging", replica);
                process.terminate().unwrap();
                assert!(process.wait(Duration::from_secs(15)).await.unwrap().success());
                process.restart(RESTART).await.unwrap();
            }
        };
        tokio::join!(join_all(sending), hurting);
        for room in rooms {
            let contents = whole_history(&anna, room).await.into_iter();
            let contents = contents
                .map(|message| message["content"].as_str().unwrap().parse::<i64>().unwrap());
            assert!(contents.eq(1..=MESSAGES));
        }
    })
    .await;
}

#[tokio::test]
async fn while_a_replica_of_rooms_hangs_everything_that_needs_rooms_works() {
    /// Longer than the first ejections, so that the hung replica is tried again.
    const HANG: Duration = Duration::from_secs(6);
    on_stack(2, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut socket = anna.socket().await;
        let mut sent = 0;
        for replica in [0, 1] {
            let process = stack.process("rooms", replica);
            process.pause().unwrap();
            let begin = Instant::now();
            while begin.elapsed() < HANG {
                sent += 1;
                let ack = socket.ask(&message_with_ref(room, "meanwhile", "m")).await;
                assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(sent)), "{ack}");
                for path in [&history_path(room), "/v1/rooms", &format!("/v1/rooms/{room}")] {
                    ben.get(path).await.ok(200);
                }
            }
            process.resume().unwrap();
        }
    })
    .await;
}

/// Delays the commit of each batch of messages.
const SLOW_COMMITS: &str = "
    CREATE FUNCTION messaging.wait() RETURNS TRIGGER LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(0.5);
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER wait AFTER INSERT ON messaging.messages EXECUTE FUNCTION messaging.wait()";

#[tokio::test]
async fn a_send_that_the_gateway_repeats_is_answered_as_the_first_one() {
    on_stack(2, 1, async |stack| {
        let anna = person(stack).await;
        let mut rooms = Vec::new();
        // Several, so that each replica owns some.
        for _ in 0..8 {
            let room = make_room(&anna, &[]).await;
            anna.send_message(room, "before").await;
            rooms.push(room);
        }
        let mut database = stack.postgres().connect("parlance").await.unwrap();
        database.execute(SLOW_COMMITS).await.unwrap();

        // Its batch is committed, and nobody is there to answer.
        let killing = async {
            tokio::time::sleep(Duration::from_millis(250)).await;
            stack.process("messaging", 0).kill().await.unwrap();
        };
        let sends = rooms.iter().map(async |room| {
            let path = format!("/v1/messages/rooms/{room}");
            anna.post(&path, &json!({"content": "once"})).await.status.as_u16()
        });
        let (statuses, ()) = tokio::join!(join_all(sends), killing);
        assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&201), "{statuses:?}");
        for room in rooms {
            let contents = anna.history(room).await;
            assert!(contents.len() <= 2, "a message is stored once: {contents:?}");
        }
    })
    .await;
}
