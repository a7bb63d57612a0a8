//! One account that uses as much as it can, and what others notice of it: nothing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlance_devstack::Stack;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::support::{Person, Socket, event_seq, eventually, make_room, on_stack, people};
use crate::ws::{assert_error, message_with_ref, whole_history};

const MAX_IN_FLIGHT: usize = 20;
const MAX_SUBSCRIPTIONS: usize = 3;
/// The longest time until an answer changes something.
const SOON: Duration = Duration::from_secs(10);

/// A stack whose users may have little.
async fn stack_with_low_limits() -> &'static Stack {
    static FRUGAL: OnceCell<Stack> = OnceCell::const_new();
    FRUGAL
        .get_or_init(async || {
            Stack::builder()
                .environment("gateway", "MAX_IN_FLIGHT_PER_USER", &MAX_IN_FLIGHT.to_string())
                .environment(
                    "gateway",
                    "MAX_SUBSCRIPTIONS_PER_USER",
                    &MAX_SUBSCRIPTIONS.to_string(),
                )
                .start()
                .await
                .expect("the stack starts")
        })
        .await
}

/// Sends messages without waiting, and returns the answers.
async fn send_many(socket: &mut Socket, room: i64, count: usize) -> Vec<Value> {
    for number in 0..count {
        socket.send(&message_with_ref(room, &number.to_string(), &number.to_string())).await;
    }
    let mut answers = Vec::new();
    for number in 0..count {
        let answer = socket.next().await;
        assert_eq!(answer["ref"], number.to_string(), "{answer}");
        answers.push(answer);
    }
    answers
}

fn assert_all_acked(answers: &[Value]) {
    for answer in answers {
        assert_eq!(answer["type"], "ack", "{answer}");
    }
}

/// Subscribes as soon as the user has a subscription left.
async fn subscribe_soon(socket: &mut Socket, room: i64) {
    let begin = Instant::now();
    while socket.ask(&json!({"type": "subscribe", "room_id": room})).await["type"] != "success" {
        assert!(begin.elapsed() < SOON, "no subscription is freed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn send_over_rest(person: &Person, room: i64) -> u16 {
    let message = json!({"content": "over REST"});
    person.post(&format!("/v1/messages/rooms/{room}"), &message).await.status.as_u16()
}

#[tokio::test]
async fn a_user_with_many_busy_sockets_delays_itself_and_refuses_nobody() {
    const SOCKETS: usize = 10;
    const EACH: usize = 200;
    let stack = stack_with_low_limits().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut annas = join_all((0..SOCKETS).map(|_| anna.socket())).await;
    let mut bens = ben.socket().await;
    let busy = join_all(annas.iter_mut().map(|socket| send_many(socket, room, EACH)));
    let (of_anna, of_ben) = tokio::join!(busy, send_many(&mut bens, room, EACH));
    assert_all_acked(&of_ben);
    of_anna.iter().for_each(|answers| assert_all_acked(answers));
    for answers in of_anna.iter().chain([&of_ben]) {
        assert!(answers.is_sorted_by_key(|answer| answer["seq"].as_i64()), "in the order sent");
    }
    assert_eq!(whole_history(&anna, room).await.len(), (SOCKETS + 1) * EACH);
}

#[tokio::test]
async fn a_user_whose_requests_in_flight_are_used_up_is_refused_alone() {
    const SENT: usize = MAX_IN_FLIGHT + 10;
    let stack = stack_with_low_limits().await;
    let [anna, ben] = people(stack).await;
    let (locked, free) = (make_room(&anna, &[]).await, make_room(&anna, &[&ben]).await);
    let (mut annas, mut bens) = (anna.socket().await, ben.socket().await);
    send_many(&mut annas, locked, 1).await;
    // Messages for this room wait.
    let mut database = PgConnection::connect(&stack.database_url()).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    let row = sqlx::query("SELECT FROM messaging.room_heads WHERE room_id = $1 FOR UPDATE");
    row.bind(locked).execute(&mut *lock).await.unwrap();

    let unlock = async {
        eventually(SOON, "the calls of Anna are refused", async || {
            let status = send_over_rest(&anna, free).await;
            assert!([201, 429].contains(&status), "{status}");
            status == 429
        })
        .await;
        assert_all_acked(&send_many(&mut bens, free, 2 * MAX_IN_FLIGHT).await);
        assert_eq!(send_over_rest(&ben, free).await, 201);
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(send_many(&mut annas, locked, SENT), unlock);
    // On a slow machine the first ones may have waited for too long.
    let is_acked = |answer: &&Value| answer["type"] == "ack";
    for answer in answers.iter().filter(|answer| !is_acked(answer)) {
        assert_eq!(answer["code"], "unavailable", "{answer}");
    }
    let acked: Vec<&Value> = answers.iter().filter(is_acked).collect();
    assert!(acked.is_sorted_by_key(|answer| answer["seq"].as_i64()), "in the order sent");
    assert_eq!(send_over_rest(&anna, free).await, 201, "the answers have freed the places");
}

#[tokio::test]
async fn subscriptions_per_user_are_limited_over_all_connections() {
    let stack = stack_with_low_limits().await;
    let [anna, ben] = people(stack).await;
    let (first, second) = (make_room(&anna, &[&ben]).await, make_room(&anna, &[]).await);
    let (mut one, mut two) = (anna.socket().await, anna.socket().await);
    one.subscribe(first).await;
    one.subscribe(second).await;
    two.subscribe(first).await;
    let subscribe = json!({"type": "subscribe", "room_id": second, "ref": "2"});
    let refused = two.ask(&subscribe).await;
    assert_error(&refused, "rate_limited", Some("2"));
    assert_eq!(refused["retry_after"], 1, "{refused}");
    two.subscribe(first).await;
    ben.socket().await.subscribe(first).await;

    one.ask(&json!({"type": "unsubscribe", "room_id": second})).await;
    two.subscribe(second).await;
    one.drop_connection();
    let mut three = anna.socket().await;
    subscribe_soon(&mut three, first).await;
    anna.delete(&format!("/v1/rooms/{second}")).await.ok(204);
    let third = make_room(&anna, &[]).await;
    subscribe_soon(&mut three, third).await;
}

#[tokio::test]
async fn a_sender_who_is_not_cached_holds_up_no_other_room() {
    on_stack(1, 2, async |stack| {
        let [anna, ben, carl] = people(stack).await;
        let (slow, quick) = (make_room(&anna, &[&ben]).await, make_room(&carl, &[&ben]).await);
        let mut bens = ben.at(stack, 1).subscribed(slow).await;
        bens.subscribe(quick).await;
        let (mut annas, mut carls) = (anna.subscribed(slow).await, carl.subscribed(quick).await);
        // Ben's gateway knows Carl from here on.
        carls.send(&message_with_ref(quick, "known", "1")).await;
        assert_eq!(event_seq(&bens.next().await), 1);

        stack.process("auth", 0).pause().unwrap();
        annas.send(&message_with_ref(slow, "unknown", "1")).await;
        assert_eq!(annas.next().await["message"]["content"], "unknown");
        carls.send(&message_with_ref(quick, "still known", "2")).await;
        assert_eq!(bens.next().await["message"]["content"], "still known");
        let event = bens.next().await;
        assert_eq!(event["message"]["content"], "unknown");
        assert_eq!(event["message"]["sender"]["username"], *anna.name);
        assert_eq!(event["message"]["sender"]["id"], anna.id);
        stack.process("auth", 0).resume().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_user_who_types_on_many_connections_is_shown_once() {
    let stack = stack_with_low_limits().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.subscribed(room).await;
    for _ in 0..5 {
        let mut socket = anna.socket().await;
        socket.send(&json!({"type": "typing", "room_id": room})).await;
        assert!(socket.so_far().await.is_empty());
    }
    // The event of this message comes after those of typing.
    anna.send_message(room, "done").await;
    let mut typing = 0;
    loop {
        let frame = bens.next().await;
        if frame["type"] == "message" {
            break;
        }
        assert_eq!(frame["type"], "typing", "{frame}");
        typing += 1;
    }
    assert_eq!(typing, 1);
}
