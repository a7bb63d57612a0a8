//! The synthetic probe of a gateway: a gateway is ready only after its first probe message has
//! returned. Later probe messages only change metrics.

use parlance_devstack::Stack;
use serde_json::json;

use crate::support::{
    Person, RECOVERY, RESTART, eventually, make_room, on_own_stack, people, person, stack,
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
            lose_probes(stack).await;
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

#[tokio::test]
async fn clients_cannot_use_the_room_of_the_probe() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    make_room(&anna, &[&ben]).await;
    let mut database = stack.postgres().connect("parlance").await.unwrap();
    let probe_message: i64 =
        sqlx::query_scalar("SELECT max(id) FROM messaging.messages WHERE room_id = 0")
            .fetch_one(&mut database)
            .await
            .unwrap();

    let (too_small, content) = (["path.room_id greater_than_equal"], json!({"content": "x"}));
    anna.get("/v1/rooms/0").await.invalid(&too_small);
    anna.get("/v1/messages/rooms/0/history").await.invalid(&too_small);
    anna.post("/v1/messages/rooms/0", &content).await.invalid(&too_small);
    let message = format!("/v1/messages/{probe_message}");
    anna.patch(&message, &content).await.refused(404, "message_not_found");
    anna.delete(&message).await.refused(404, "message_not_found");

    let mut socket = anna.socket().await;
    for request in ["subscribe", "unsubscribe", "typing"] {
        let refused = socket.ask(&json!({"type": request, "room_id": 0})).await;
        assert_error(&refused, "invalid_frame", None);
    }
    assert_error(&socket.ask(&message_with_ref(0, "x", "1")).await, "invalid_frame", Some("1"));
    let edit = json!({"type": "edit_message", "message_id": probe_message, "content": "x"});
    assert_error(&socket.ask(&edit).await, "message_not_found", None);
    let delete = json!({"type": "delete_message", "message_id": probe_message});
    assert_error(&socket.ask(&delete).await, "message_not_found", None);
}
