//! Outages of Redis and Postgres.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calls::{DEADLINE, history_path, recovers, register, send_until_acked, unavailable};
use crate::support::{
    Person, RECOVERY, RESTART, Socket, event_seq, eventually, make_room, on_stack, people, person,
};
use crate::ws::message_with_ref;

/// Changes a message often enough for both replicas of messaging to handle some changes, and
/// asserts that every subscriber receives each change in time.
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
        assert_eq!(event_seq(&bens.next().await), 1);

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
            assert_eq!(event_seq(&bens.next().await), number);
        }
        // All replicas of auth sign with the same key.
        let jwks = anna.api.get("/.well-known/jwks.json").await.ok(200);
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    })
    .await;
}
