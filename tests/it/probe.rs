//! The synthetic probe of a gateway: a gateway is ready only after its first probe message has
//! returned. Later probe messages only change metrics.

use parlance_devstack::Stack;
use serde_json::json;
use sqlx::PgConnection;

use crate::support::{
    Person, RECOVERY, RESTART, eventually, make_room, on_own_stack, person, stack,
};
use crate::ws::{assert_error, message_with_ref};

/// Runs a test on a stack whose gateway probes ten times a second.
async fn on_probing_stack(test: impl AsyncFnOnce(&Stack)) {
    on_own_stack(Stack::builder().environment("gateway", "PROBE_INTERVAL", "0.1"), test).await;
}

/// The value of a metric of the gateway; 0 before it is first recorded.
async fn metric(stack: &Stack, name: &str) -> f64 {
    let metrics = stack.metrics("gateway", 0).await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

async fn returns(stack: &Stack) -> f64 {
    metric(stack, "parlance_gateway_probe_duration_seconds_count").await
}

async fn failures(stack: &Stack) -> f64 {
    metric(stack, "parlance_gateway_probe_failures_total").await
}

async fn age(stack: &Stack) -> f64 {
    metric(stack, "parlance_gateway_probe_age_seconds").await
}

/// Waits until two more probes are lost. At least one of them was sent after the call.
async fn lose_probes(stack: &Stack) {
    let before = failures(stack).await;
    eventually(RECOVERY, "probes are lost", async || failures(stack).await >= before + 2.0).await;
}

async fn assert_messages_flow(person: &Person) {
    let room = make_room(person, &[]).await;
    let mut socket = person.subscribed(room).await;
    person.send_message(room, "Hello").await;
    assert_eq!(socket.next().await["message"]["content"], "Hello");
}

#[tokio::test]
async fn a_gateway_is_ready_after_its_first_probe_returns() {
    on_probing_stack(async |stack| {
        let anna = person(stack).await;
        let gateway = stack.process("gateway", 0);
        for part in ["messaging", "rooms", "postgres"] {
            let missing = if part == "postgres" {
                stack.postgres().process()
            } else {
                stack.process(part, 0)
            };
            gateway.kill().await.unwrap();
            missing.kill().await.unwrap();
            gateway.start_again().await.unwrap();
            eventually(RESTART, "the gateway lives", async || stack.is_alive("gateway", 0).await)
                .await;
            // Without Postgres auth does not tell who may do what, and no probe begins.
            if part != "postgres" {
                lose_probes(stack).await;
            }
            assert!(!gateway.is_ready().await, "ready without {part}");
            assert_eq!(anna.get("/v1/healthz").await.status, 200);

            missing.restart(RESTART).await.unwrap();
            gateway.wait_until_ready(RECOVERY).await.unwrap();
            assert!(returns(stack).await >= 1.0, "ready before a probe has returned");
            assert_messages_flow(&anna).await;
        }
    })
    .await;
}

#[tokio::test]
async fn lost_probes_change_metrics_and_not_readiness() {
    on_probing_stack(async |stack| {
        let anna = person(stack).await;
        let gateway = stack.process("gateway", 0);
        let before = returns(stack).await;
        eventually(RECOVERY, "probes return", async || returns(stack).await > before + 2.0).await;
        stack.redis().process().kill().await.unwrap();
        stack.process("messaging", 0).kill().await.unwrap();

        lose_probes(stack).await;
        assert!(age(stack).await > 1.0);
        assert!(stack.is_alive("gateway", 0).await && gateway.is_ready().await);
        anna.get("/v1/rooms").await.ok(200);

        stack.process("messaging", 0).restart(RESTART).await.unwrap();
        let before = returns(stack).await;
        eventually(RECOVERY, "probes return again", async || returns(stack).await > before + 2.0)
            .await;
        eventually(RECOVERY, "the last probe returned just now", async || age(stack).await < 1.0)
            .await;
    })
    .await;
}

/// The number of calls of `GetUsers` that auth has answered.
async fn user_lookups(stack: &Stack) -> f64 {
    let metrics = stack.metrics("auth", 0).await.unwrap();
    let is_get_users = |line: &&str| {
        line.starts_with("rpc_server_call_duration_seconds_count") && line.contains("/GetUsers\"")
    };
    let counts = metrics.lines().filter(is_get_users).map(|line| line.rsplit_once(' ').unwrap().1);
    counts.map(|count| count.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn probes_do_not_look_up_users_in_auth() {
    on_probing_stack(async |stack| {
        person(stack).await.get("/v1/auth/me").await.ok(200);
        let (before, returned) = (user_lookups(stack).await, returns(stack).await);
        assert!(before > 0.0, "users are looked up");
        eventually(RECOVERY, "probes return", async || returns(stack).await > returned + 5.0).await;
        assert_eq!(user_lookups(stack).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_starts_without_redis() {
    on_probing_stack(async |stack| {
        let anna = person(stack).await;
        let gateway = stack.process("gateway", 0);
        stack.redis().process().kill().await.unwrap();
        gateway.kill().await.unwrap();
        gateway.restart(RESTART).await.unwrap();
        assert_messages_flow(&anna).await;
    })
    .await;
}

/// The ids of the room and of the newest message of the probe.
async fn newest_probe(database: &mut PgConnection) -> (i64, i64) {
    let newest = "SELECT room_id, id FROM messaging.messages
        WHERE sender_name = 'parlance-probe' ORDER BY id DESC LIMIT 1";
    sqlx::query_as(newest).fetch_one(database).await.unwrap()
}

#[tokio::test]
async fn clients_cannot_use_the_account_and_the_room_of_the_probe() {
    let stack = stack().await;
    let anna = person(stack).await;
    let mut database = stack.postgres().connect("parlance").await.unwrap();
    let (room, probe_message) = newest_probe(&mut database).await;

    let name = json!({"username": "parlance-probe"});
    anna.post("/v1/contacts/invite", &name).await.refused(404, "user_not_found");
    let content = json!({"content": "x"});
    anna.get(&format!("/v1/rooms/{room}")).await.refused(403, "not_a_member");
    anna.post(&format!("/v1/messages/rooms/{room}"), &content).await.refused(403, "not_a_member");
    let message = format!("/v1/messages/{probe_message}");
    anna.patch(&message, &content).await.refused(404, "message_not_found");
    anna.delete(&message).await.refused(404, "message_not_found");

    let mut socket = anna.socket().await;
    for request in ["subscribe", "typing"] {
        let refused = socket.ask(&json!({"type": request, "room_id": room})).await;
        assert_error(&refused, "not_a_member", None);
    }
    let refused = socket.ask(&message_with_ref(room, "x", "1")).await;
    assert_error(&refused, "not_a_member", Some("1"));
}

#[tokio::test]
async fn a_full_room_of_probes_is_deleted_and_replaced() {
    on_probing_stack(async |stack| {
        let mut database = stack.postgres().connect("parlance").await.unwrap();
        let (full, _) = newest_probe(&mut database).await;
        sqlx::query("UPDATE messaging.room_heads SET last_seq = 10000 WHERE room_id = $1")
            .bind(full)
            .execute(&mut database)
            .await
            .unwrap();
        eventually(RECOVERY, "the messages of the full room are purged", async || {
            let mut database = stack.postgres().connect("parlance").await.unwrap();
            let left = "SELECT count(*) FROM messaging.messages WHERE room_id = $1";
            let left: i64 =
                sqlx::query_scalar(left).bind(full).fetch_one(&mut database).await.unwrap();
            left == 0
        })
        .await;
        let before = returns(stack).await;
        eventually(RECOVERY, "probes return", async || returns(stack).await > before + 2.0).await;
        assert_ne!(newest_probe(&mut database).await.0, full);
    })
    .await;
}
