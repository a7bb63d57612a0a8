//! Outages of single parts and recovery. Every test injects faults into a stack of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlance_devstack::{Stack, StackBuilder};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    Answer, Person, Socket, become_contacts, eventually, make_room, people, person, seq_of,
};
use crate::ws::{message_to, message_with_ref, whole_history};

/// The timeout of a call to a service, and a margin for a busy machine.
const DEADLINE: Duration = Duration::from_secs(4);
/// The longest time for recovery on a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(20);
pub(crate) const RESTART: Duration = Duration::from_secs(30);
/// How many lines of each log a failed test shows.
const MAX_COMPLAINTS: usize = 10;

/// How many stacks run at once: the machine is small.
static STACKS: Semaphore = Semaphore::const_new(2);

/// Runs a test on a stack of its own.
async fn on_stack(replicas: usize, gateways: usize, test: impl AsyncFnOnce(&Stack)) {
    on_stack_of(Stack::builder().replicas(replicas).gateways(gateways), test).await;
}

/// Runs a test on a stack with other settings.
pub(crate) async fn on_stack_of(builder: StackBuilder, test: impl AsyncFnOnce(&Stack)) {
    let _permit = STACKS.acquire().await.unwrap();
    let stack = builder.start().await.unwrap();
    let _complaints = Complaints(&stack);
    test(&stack).await;
}

/// Prints the warnings in the logs of a stack when its test fails.
struct Complaints<'a>(&'a Stack);

impl Drop for Complaints<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in self.0.processes() {
            let log = std::fs::read(process.log()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let is_complaint = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
            let complaints: Vec<&str> = log.lines().filter(is_complaint).collect();
            for line in &complaints[complaints.len().saturating_sub(MAX_COMPLAINTS)..] {
                eprintln!("{}: {line}", process.name());
            }
        }
    }
}

/// Asserts that a call is answered 503 in time.
async fn unavailable(call: impl Future<Output = Answer>) {
    let begin = Instant::now();
    let answer = call.await;
    assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
    let seconds: u64 =
        answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(seconds > 0);
    answer.refused(503, "unavailable");
}

/// Waits until a call succeeds again.
async fn recovers(path: &str, person: &Person) {
    eventually(RECOVERY, path, async || person.get(path).await.status == 200).await;
}

/// Sends a message until it is acked. Until then the result is unknown.
async fn send_until_acked(socket: &mut Socket, room: i64, content: &str) -> Value {
    let begin = Instant::now();
    let frame = json!({"type": "send_message", "room_id": room, "content": content, "client_msg_id": content});
    loop {
        let asked = Instant::now();
        socket.send(&frame).await;
        let answer = loop {
            let answer = socket.next().await;
            if answer["type"] == "ack" || answer["type"] == "error" {
                break answer;
            }
        };
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        if answer["type"] == "ack" {
            return answer;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
        assert!(begin.elapsed() < RECOVERY, "not acked in time: {content}");
    }
}

/// Registers a user, which needs auth.
async fn register(person: &Person, name: &str) -> Answer {
    person
        .api
        .post("/v1/auth/register", &json!({"username": name, "password": "securepass123"}))
        .await
}

fn history_path(room: i64) -> String {
    format!("/v1/messages/rooms/{room}/history")
}

#[tokio::test]
async fn without_auth_cached_users_are_served_and_messages_flow() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let (mut annas, mut bens) = (anna.subscribed(room).await, ben.subscribed(room).await);
        anna.send_message(room, "Before").await;
        assert_eq!((seq_of(&annas.next().await), seq_of(&bens.next().await)), (1, 1));
        stack.process("auth", 0).kill().await.unwrap();

        unavailable(register(&anna, "newuser")).await;
        unavailable(
            anna.api.post(
                "/v1/auth/login",
                &json!({"username": anna.name, "password": "securepass123"}),
            ),
        )
        .await;
        for path in ["/v1/rooms", "/v1/contacts", &history_path(room)] {
            anna.get(path).await.ok(200);
        }
        annas.send(&message_to(room, "Meanwhile")).await;
        assert_eq!(annas.next().await["message"]["sender"]["username"], *anna.name);
        assert_eq!(bens.next().await["message"]["content"], "Meanwhile");
        assert_eq!(ben.socket().await.ask(&json!({"type": "ping"})).await["type"], "pong");
        assert_eq!(anna.get("/v1/healthz").await.status, 200);

        stack.process("auth", 0).restart(RESTART).await.unwrap();
        eventually(RECOVERY, "registering works again", async || {
            [201, 400].contains(&register(&anna, "newuser").await.status.as_u16())
        })
        .await;
        person(stack).await.get("/v1/auth/me").await.ok(200);
    })
    .await;
}

#[tokio::test]
async fn without_contacts_rooms_and_messages_work() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        stack.process("contacts", 0).kill().await.unwrap();
        unavailable(anna.get("/v1/contacts")).await;
        unavailable(anna.post("/v1/contacts/invite", &json!({"username": ben.name}))).await;
        anna.get("/v1/rooms").await.ok(200);
        let mut bens = ben.subscribed(room).await;
        anna.send_message(room, "Hello").await;
        assert_eq!(bens.next().await["message"]["content"], "Hello");
        stack.process("contacts", 0).restart(RESTART).await.unwrap();
        recovers("/v1/contacts", &anna).await;
    })
    .await;
}

#[tokio::test]
async fn without_rooms_sends_are_refused_and_connections_stay() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        stack.process("rooms", 0).kill().await.unwrap();

        unavailable(anna.get("/v1/rooms")).await;
        unavailable(anna.get(&history_path(room))).await;
        unavailable(anna.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "x"})))
            .await;
        let refused = bens.ask(&message_with_ref(room, "x", "1")).await;
        assert_eq!((&refused["code"], &refused["ref"]), (&json!("unavailable"), &json!("1")));
        let refused = ben.socket().await.ask(&json!({"type": "subscribe", "room_id": room})).await;
        assert_eq!(refused["code"], "unavailable");
        anna.get("/v1/contacts").await.ok(200);
        anna.get("/v1/auth/me").await.ok(200);

        stack.process("rooms", 0).restart(RESTART).await.unwrap();
        recovers("/v1/rooms", &anna).await;
        let mut annas = anna.socket().await;
        let ack = send_until_acked(&mut annas, room, "After").await;
        // A refused message may be stored or not. This one reaches the client that stayed
        // subscribed.
        while bens.next().await["message"]["id"] != ack["message_id"] {}
        // messaging follows the membership log again.
        anna.delete(&format!("/v1/rooms/{room}/members/{}", ben.name)).await.ok(204);
        while bens.next().await["type"] != "unsubscribed" {}
    })
    .await;
}

#[tokio::test]
async fn accepting_without_rooms_makes_one_room_later() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let invitation =
            anna.post("/v1/contacts/invite", &json!({"username": ben.name})).await.ok(200);
        stack.process("rooms", 0).kill().await.unwrap();
        let begin = Instant::now();
        ben.post_empty(&format!("/v1/contacts/{}/accept", invitation["id"])).await.ok(200);
        assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
        let contacts = anna.get("/v1/contacts").await.ok(200);
        assert_eq!(contacts["contacts"][0]["other_user"]["id"], ben.id);

        stack.process("rooms", 0).restart(RESTART).await.unwrap();
        eventually(RECOVERY, "the system room appears", async || {
            let answer = anna.get("/v1/rooms").await;
            answer.status == 200 && answer.json()["rooms"] != json!([])
        })
        .await;
        for person in [&anna, &ben] {
            let rooms = person.get("/v1/rooms").await.ok(200)["rooms"].as_array().unwrap().clone();
            assert_eq!((rooms.len(), &rooms[0]["is_system"]), (1, &json!(true)));
        }
    })
    .await;
}

#[tokio::test]
async fn without_messaging_the_rest_works_and_connections_stay() {
    on_stack(1, 1, async |stack| {
        let [anna, ben, carl] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        stack.process("messaging", 0).kill().await.unwrap();
        unavailable(anna.get(&history_path(room))).await;
        unavailable(anna.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "x"})))
            .await;
        assert_eq!(bens.ask(&message_with_ref(room, "x", "1")).await["code"], "unavailable");
        become_contacts(&anna, &carl).await;
        make_room(&carl, &[]).await;

        stack.process("messaging", 0).restart(RESTART).await.unwrap();
        recovers(&history_path(room), &anna).await;
        let ack = send_until_acked(&mut anna.socket().await, room, "After").await;
        while bens.next().await["message"]["id"] != ack["message_id"] {}
    })
    .await;
}

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

/// Changes a message often enough for both replicas of messaging to handle some changes, and asserts
/// that every subscriber receives each change in time.
async fn every_subscriber_receives(
    person: &Person,
    message: &Value,
    sockets: &mut [Socket],
    mark: &str,
) {
    for round in 0..8 {
        let content = format!("{mark} {round}");
        let path = format!("/v1/messages/{}", message["id"]);
        let begin = Instant::now();
        person.patch(&path, &json!({"content": content})).await.ok(200);
        for socket in sockets.iter_mut() {
            let event = socket.next().await;
            assert_eq!(
                (&event["type"], &event["message"]["content"]),
                (&json!("message_edited"), &json!(content))
            );
        }
        assert!(begin.elapsed() < Duration::from_secs(2) + DEADLINE / 4, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn without_redis_changes_arrive_within_two_seconds() {
    on_stack(2, 2, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let message = anna.send_message(room, "Before").await;
        let mut sockets =
            vec![anna.subscribed(room).await, ben.at(stack, 1).subscribed(room).await];
        every_subscriber_receives(&anna, &message, &mut sockets, "with Redis").await;

        stack.redis().process().kill().await.unwrap();
        sockets.push(ben.subscribed(room).await);
        every_subscriber_receives(&anna, &message, &mut sockets, "without Redis").await;
        let begin = Instant::now();
        let ack = send_until_acked(&mut ben.at(stack, 1).socket().await, room, "Accepted").await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await["message"]["id"], ack["message_id"]);
        }
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!(anna.history(room).await[1]["content"], "Accepted");

        stack.redis().process().restart(RESTART).await.unwrap();
        every_subscriber_receives(&anna, &message, &mut sockets, "with Redis again").await;
    })
    .await;
}

#[tokio::test]
async fn messages_survive_a_restart_of_postgres() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        anna.send_message(room, "Before").await;
        assert_eq!(seq_of(&bens.next().await), 1);

        // The Postgres of tests does not flush commits. A checkpoint keeps the messages so far.
        let mut connection = stack.postgres().connect("parlance").await.unwrap();
        sqlx::query("CHECKPOINT").execute(&mut connection).await.unwrap();
        drop(connection);
        stack.postgres().process().kill().await.unwrap();
        for path in ["/v1/rooms", "/v1/contacts", &history_path(room)] {
            unavailable(anna.get(path)).await;
        }
        unavailable(register(&anna, "newuser")).await;
        assert_eq!(bens.ask(&message_with_ref(room, "x", "1")).await["code"], "unavailable");
        assert_eq!(anna.get("/v1/healthz").await.status, 200);

        stack.postgres().process().restart(RESTART).await.unwrap();
        for path in ["/v1/auth/me", "/v1/rooms", "/v1/contacts", &history_path(room)] {
            recovers(path, &anna).await;
        }
        let ack = send_until_acked(&mut anna.socket().await, room, "After").await;
        while bens.next().await["message"]["id"] != ack["message_id"] {}
        eventually(RECOVERY, "register", async || register(&anna, "newcomer").await.status == 201)
            .await;
        person(stack).await.get("/v1/auth/me").await.ok(200);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_waits_for_its_database_ends_on_sigterm() {
    on_stack(1, 1, async |stack| {
        stack.postgres().process().kill().await.unwrap();
        for service in ["auth", "contacts", "rooms", "messaging"] {
            let process = stack.process(service, 0);
            process.kill().await.unwrap();
            process.start_again().await.unwrap();
            eventually(RECOVERY, service, async || stack.is_alive(service, 0).await).await;
            process.terminate().unwrap();
            assert!(process.wait(RECOVERY).await.unwrap().success(), "{service}");
        }
    })
    .await;
}

#[tokio::test]
async fn three_replicas_of_each_service_start_at_once_on_an_empty_database() {
    on_stack(3, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        for number in 1..=10 {
            anna.send_message(room, "Hello").await;
            assert_eq!(seq_of(&bens.next().await), number);
        }
        // All replicas of auth sign with the same key.
        let jwks = anna.api.get("/.well-known/jwks.json").await.ok(200);
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    })
    .await;
}
