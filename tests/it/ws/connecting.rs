//! Authentication and the end of connections.

use std::time::{Duration, Instant};

use parlance_client::Message;
use parlance_devstack::Stack;
use serde_json::{Value, json};

use super::{assert_error, message_to};
use crate::support::{
    Api, Ended, PASSWORD, Socket, auth_command, make_room, people, person, stack,
};

fn auth(token: &str) -> Value {
    json!({"type": "auth", "token": token})
}

/// Asserts that the gateway closes a connection after this first frame.
async fn refused(stack: &Stack, first: Message) -> Value {
    let mut socket = Api::at(stack, 0).socket().await;
    socket.send_raw(first).await;
    let answer = socket.next().await;
    assert_error(&answer, "unauthenticated", None);
    assert_eq!(socket.closed().await, Ended(Some(4401)));
    answer
}

#[tokio::test]
async fn the_token_may_come_in_the_first_frame() {
    let anna = person(stack().await).await;
    let mut socket = anna.api.socket().await;
    let welcome =
        socket.ask(&json!({"type": "auth", "token": anna.token, "ref": "a", "more": [1]})).await;
    let expected = json!({
        "type": "success", "message": "Authenticated successfully", "user_id": anna.id, "ref": "a",
    });
    assert_eq!(welcome, expected);
}

#[tokio::test]
async fn the_token_may_come_with_the_upgrade() {
    let anna = person(stack().await).await;
    let mut socket = Socket::open(anna.api.gateway, Some(&anna.token)).await;
    let expected =
        json!({"type": "success", "message": "Authenticated successfully", "user_id": anna.id});
    assert_eq!(socket.next().await, expected);
}

#[tokio::test]
async fn a_bad_token_with_the_upgrade_is_401() {
    let gateway = stack().await.address("gateway", 0);
    for bad in ["Bearer nonsense", "bearer a.b.c"] {
        let refused = Socket::connect(gateway, [("authorization", bad.to_owned())]).await;
        assert_eq!(refused.err(), Some(401), "{bad}");
    }
}

#[tokio::test]
async fn the_first_frame_must_be_auth() {
    let stack = stack().await;
    for first in [
        r#"{"type": "ping"}"#,
        r#"{"type": "subscribe", "room_id": 1}"#,
        "{",
        "[]",
        r#"{"type": "dance"}"#,
    ] {
        let answer = refused(stack, Message::text(first)).await;
        assert_eq!(answer["error"], "Authentication required", "{first}");
    }
    let answer = refused(stack, Message::binary(vec![1])).await;
    assert_eq!(answer["error"], "Authentication required");
}

#[tokio::test]
async fn auth_without_a_token_is_refused() {
    for frame in [
        json!({"type": "auth"}),
        json!({"type": "auth", "token": null}),
        json!({"type": "auth", "token": ""}),
    ] {
        let answer = refused(stack().await, Message::text(frame.to_string())).await;
        assert_eq!(answer["error"], "Missing token", "{frame}");
    }
}

#[tokio::test]
async fn a_bad_token_ends_the_connection() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (head, signature) = anna.token.rsplit_once('.').unwrap();
    let damaged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["nonsense", "a.b.c", &damaged] {
        refused(stack, Message::text(auth(token).to_string())).await;
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_ten_seconds() {
    let mut socket = Api::at(stack().await, 0).socket().await;
    let opened = Instant::now();
    // A ping is no first frame.
    socket.send_raw(Message::Ping(Vec::new().into())).await;
    assert_eq!(socket.frame_or_end().await, Err(Ended(Some(4408))));
    assert!((9..=12).contains(&opened.elapsed().as_secs()), "{:?}", opened.elapsed());
}

#[tokio::test]
async fn the_same_user_may_authenticate_again() {
    let anna = person(stack().await).await;
    let mut socket = anna.socket().await;
    let answer = socket.ask(&auth(&anna.token)).await;
    assert_eq!((&answer["type"], &answer["user_id"]), (&json!("success"), &json!(anna.id)));
    assert_eq!(socket.ask(&json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn authenticating_as_another_user_ends_the_connection() {
    let [anna, ben] = people(stack().await).await;
    for token in [ben.token.as_str(), "nonsense"] {
        let mut socket = anna.socket().await;
        assert_error(&socket.ask(&auth(token)).await, "unauthenticated", None);
        assert_eq!(socket.closed().await, Ended(Some(4401)));
    }
}

#[tokio::test]
async fn subscribing_before_auth_is_answered_works() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.api.socket().await;
    socket.send(&auth(&anna.token)).await;
    socket.send(&json!({"type": "subscribe", "room_id": room})).await;
    assert_eq!(socket.next().await["message"], "Authenticated successfully");
    assert_eq!(socket.next().await["message"], format!("Subscribed to room {room}"));
}

#[tokio::test]
async fn each_connection_of_a_user_has_its_own_subscriptions() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (one, other) = (make_room(&anna, &[]).await, make_room(&anna, &[]).await);
    let mut first = anna.subscribed(one).await;
    let mut second = anna.at(stack, 1).subscribed(other).await;
    anna.send_message(one, "one").await;
    anna.send_message(other, "other").await;
    assert_eq!(first.next().await["message"]["content"], "one");
    assert_eq!(second.next().await["message"]["content"], "other");
}

#[tokio::test]
async fn unknown_origins_are_refused_with_403() {
    let gateway = stack().await.address("gateway", 0);
    for bad in ["https://evil.example", "http://localhost:3001", "null"] {
        let refused = Socket::connect(gateway, [("origin", bad.to_owned())]).await;
        assert_eq!(refused.err(), Some(403), "{bad}");
    }
    for good in ["http://localhost:3000", &format!("http://{gateway}")] {
        assert!(Socket::connect(gateway, [("origin", good.to_owned())]).await.is_ok(), "{good}");
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection_unless_it_was_renewed() {
    let stack =
        Stack::builder().environment("auth", "ACCESS_TOKEN_TTL", "3").start().await.unwrap();
    let anna = person(&stack).await;
    let (mut left_alone, mut renewed) = (anna.socket().await, anna.socket().await);
    // Times in tokens are whole seconds: only a token of a later second expires later.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let login = anna
        .api
        .post("/v1/auth/login", &json!({"username": anna.name, "password": PASSWORD}))
        .await;
    let answer = renewed.ask(&auth(login.ok(200)["access_token"].as_str().unwrap())).await;
    assert_eq!(answer["type"], "success");

    assert_error(&left_alone.next().await, "token_expired", None);
    assert_eq!(left_alone.closed().await, Ended(Some(4401)));
    assert_eq!(renewed.ask(&json!({"type": "ping"})).await["type"], "pong");
    assert_error(&renewed.next().await, "token_expired", None);
    assert_eq!(renewed.closed().await, Ended(Some(4401)));
    // A new connection cannot use an expired token.
    let refused = Socket::connect(
        stack.address("gateway", 0),
        [("authorization", format!("Bearer {}", anna.token))],
    )
    .await;
    assert_eq!(refused.err(), Some(401));
}

#[tokio::test]
async fn a_new_token_renews_the_session_behind_queued_frames() {
    let stack = Stack::builder()
        .environment("auth", "ACCESS_TOKEN_TTL", "3")
        .environment("gateway", "UPSTREAM_DEADLINE", "8")
        .start()
        .await
        .unwrap();
    let anna = person(&stack).await;
    let mut socket = anna.socket().await;
    stack.process("messaging", 0).pause().unwrap();
    socket.send(&json!({"type": "delete_message", "message_id": 1, "ref": "takes long"})).await;
    // Times in tokens are whole seconds: only a token of a later second expires later.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let login = anna
        .api
        .post("/v1/auth/login", &json!({"username": anna.name, "password": PASSWORD}))
        .await;
    let answer = socket.ask(&auth(login.ok(200)["access_token"].as_str().unwrap())).await;
    assert_eq!(answer["type"], "success", "{answer}");
    stack.process("messaging", 0).resume().unwrap();
}

#[tokio::test]
async fn deactivating_a_user_closes_all_sockets_within_two_seconds() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.subscribed(room).await;
    let mut annas = Vec::new();
    for gateway in [0, 1] {
        let anna = anna.at(stack, gateway);
        annas.extend([anna.socket().await, anna.subscribed(room).await]);
    }
    auth_command(stack, &["deactivate", &anna.name], &[]).await;
    let deactivated = Instant::now();
    for socket in &mut annas {
        assert_error(&socket.next().await, "session_revoked", None);
        assert_eq!(socket.closed().await, Ended(Some(4403)));
    }
    assert!(deactivated.elapsed() < Duration::from_secs(2), "{:?}", deactivated.elapsed());
    for gateway in [0, 1] {
        let authorization = ("authorization", format!("Bearer {}", anna.token));
        assert_eq!(
            Socket::connect(stack.address("gateway", gateway), [authorization]).await.err(),
            Some(401)
        );
        anna.at(stack, gateway).get("/v1/auth/me").await.refused(401, "inactive_user");
    }
    assert_eq!(bens.ask(&json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_silent_client_is_pinged() {
    let mut socket = person(stack().await).await.socket().await;
    let opened = Instant::now();
    socket.pinged(Duration::from_secs(35)).await;
    assert!(opened.elapsed() > Duration::from_secs(28), "{:?}", opened.elapsed());
    assert_eq!(socket.ask(&json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_stopping_gateway_closes_with_1012() {
    let stack =
        Stack::builder().environment("gateway", "DRAIN_TIMEOUT", "2").start().await.unwrap();
    let anna = person(&stack).await;
    let room = make_room(&anna, &[]).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(anna.subscribed(room).await);
    }
    let mut unauthenticated = anna.api.socket().await;
    sockets[0].send(&message_to(room, "The last word")).await;
    assert_eq!(sockets[0].next().await["message"]["content"], "The last word");

    let gateway = stack.process("gateway", 0);
    gateway.terminate().unwrap();
    assert_eq!(unauthenticated.closed().await, Ended(Some(1012)));
    for mut socket in sockets {
        assert_eq!(socket.closed().await, Ended(Some(1012)));
    }
    assert!(gateway.wait(Duration::from_secs(5)).await.unwrap().success());
}
