//! A reconnect storm: all clients reconnect at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use parlance_devstack::Stack;
use serde_json::json;
use tokio::task::JoinSet;

use super::message_with_ref;
use crate::support::{Person, Socket, event_seq, make_room, person};

const SOCKETS: usize = 1_000;
/// As many WebSockets as one test process can open in time. All subscribe at once afterwards.
const OPENED_AT_ONCE: usize = 100;
const ROOMS: usize = 20;
/// The number of rooms that each WebSocket subscribes to.
const ROOMS_EACH: usize = 3;
/// Events in each room before the storm: more than one page of the store.
const HEAD: i64 = 250;
/// So few connections that the reads of a storm would time out if all began at once.
const DATABASE_CONNECTIONS: &str = "2";
/// The longest time for a send during the storm.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends messages to a room without waiting for acks, then waits for all acks.
async fn send_and_wait(person: &Person, room: i64) {
    let mut socket = person.socket().await;
    for number in 1..=HEAD {
        socket.send(&message_with_ref(room, &number.to_string(), "f")).await;
    }
    for number in 1..=HEAD {
        assert_eq!(socket.next().await["seq"], number);
    }
}

/// Subscribes to some rooms with different `after_seq`, and asserts that exactly the missed events
/// arrive.
async fn come_back(mut socket: Socket, rooms: &[i64], index: usize) -> Socket {
    // Between no and all events are missed.
    let last_seen = |position: usize| ((index + position) as i64 * 37) % (HEAD + 1);
    let own = (0..ROOMS_EACH).map(|position| rooms[(index + position) % ROOMS]);
    for (position, room) in own.clone().enumerate() {
        let after_seq = last_seen(position);
        socket.send(&json!({"type": "subscribe", "room_id": room, "after_seq": after_seq})).await;
    }
    for (position, room) in own.enumerate() {
        let answer = socket.next().await;
        assert_eq!(
            (&answer["room_id"], &answer["head_seq"]),
            (&json!(room), &json!(HEAD)),
            "{answer}"
        );
        assert_eq!(answer.get("resync"), None);
        for seq in last_seen(position) + 1..=HEAD {
            let event = socket.next().await;
            assert_eq!(
                (&event["message"]["room_id"], event_seq(&event)),
                (&json!(room), seq),
                "{event}"
            );
        }
    }
    socket
}

/// Sends one message after the other and asserts the time of each.
async fn keep_sending(mut socket: Socket, room: i64) {
    let frame = message_with_ref(room, "meanwhile", "m");
    loop {
        let answer = tokio::time::timeout(SEND_TIMEOUT, socket.ask(&frame)).await;
        let answer = answer.expect("sends do not wait for the storm");
        assert_eq!(answer["type"], "ack", "{answer}");
    }
}

#[tokio::test]
async fn every_client_of_a_reconnect_storm_gets_its_missed_events() {
    let stack =
        Stack::builder().environment("messaging", "DATABASE_MAX_CONNECTIONS", DATABASE_CONNECTIONS);
    let stack = stack.start().await.expect("the stack starts");
    let anna = person(&stack).await;
    let rooms = join_all((0..ROOMS).map(|_| make_room(&anna, &[]))).await;
    let quiet_room = make_room(&anna, &[]).await;
    join_all(rooms.iter().map(|&room| send_and_wait(&anna, room))).await;

    let opening = stream::iter(0..SOCKETS).map(|_| anna.socket()).buffered(OPENED_AT_ONCE);
    let sockets: Vec<Socket> = opening.collect().await;

    let begin = Instant::now();
    let mut sending = JoinSet::new();
    sending.spawn(keep_sending(anna.socket().await, quiet_room));
    let coming =
        sockets.into_iter().enumerate().map(|(index, socket)| come_back(socket, &rooms, index));
    let mut sockets = join_all(coming).await;
    println!("{SOCKETS} sockets are live after {:?}", begin.elapsed());
    let failed = sending.try_join_next();
    assert!(failed.is_none(), "{failed:?}");
    sending.shutdown().await;

    let mut sender = anna.socket().await;
    for &room in &rooms {
        assert_eq!(sender.ask(&message_with_ref(room, "live", "l")).await["seq"], HEAD + 1);
    }
    for socket in &mut sockets {
        for _ in 0..ROOMS_EACH {
            assert_eq!(event_seq(&socket.next().await), HEAD + 1);
        }
        assert_eq!(socket.ask(&json!({"type": "ping"})).await["type"], "pong", "and nothing else");
    }
    stack.stop().await.expect("the stack stops");
}
