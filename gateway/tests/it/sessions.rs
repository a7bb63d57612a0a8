//! The calls of sessions and passwords, and what ends a session, with a double of auth.

use std::net::SocketAddr;
use std::time::Duration;

use parlance_client::{Error, WebSocket, WebSocketOptions};
use parlance_core::ErrorCode;
use reqwest::Response;
use serde_json::{Value, json};

use crate::app::{TestGateway, assert_error};
use crate::auth_double::{AuthDouble, USER_ID};

/// Longer than a gateway needs to notice that its stream is lost.
const LOST: Duration = Duration::from_secs(12);

async fn gateway() -> (AuthDouble, TestGateway) {
    let auth = AuthDouble::start().await;
    let gateway = TestGateway::start_with_auth(&auth, &[]).await;
    (auth, gateway)
}

/// Sends a call with a JSON body, and with a token if there is one.
async fn call(
    gateway: &TestGateway,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &Value,
) -> Response {
    let mut request = gateway.request(method, path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request.body(body).send().await.unwrap()
}

async fn me(gateway: &TestGateway, token: &str) -> Response {
    call(gateway, ("GET", "/v1/auth/me"), Some(token), &Value::Null).await
}

async fn eventually(what: &str, is_true: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LOST, wait).await.is_ok(), "{what}");
}

/// Opens a socket with a token and reads its first frame.
async fn socket(gateway: &TestGateway, token: &str) -> WebSocket {
    let mut socket = WebSocket::connect(gateway.address, token).await.unwrap();
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    socket
}

/// The status of a refused upgrade.
async fn upgrade(gateway: SocketAddr, token: Option<&str>) -> Option<u16> {
    let options = WebSocketOptions { token: token.map(str::to_owned), ..Default::default() };
    match WebSocket::connect_with(gateway, options).await {
        Ok(_) => None,
        Err(Error::Status { status, .. }) => Some(status.as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Asserts an `error` frame, and a close code behind it.
async fn assert_ends(socket: &mut WebSocket, code: &str, close_code: u16) {
    let frame = socket.next().await.unwrap();
    assert_eq!((&frame["type"], &frame["code"]), (&json!("error"), &json!(code)), "{frame}");
    let ended = socket.next().await;
    assert!(matches!(ended, Err(Error::Closed(Some(code))) if code == close_code), "{ended:?}");
}

#[tokio::test]
async fn a_log_in_returns_a_session_and_a_refresh_token_only_on_request() {
    let (_auth, gateway) = gateway().await;
    let log_in = async |refresh: Option<bool>| {
        let mut body = json!({"username": "ann", "password": "secret"});
        if let Some(refresh) = refresh {
            body["refresh"] = refresh.into();
        }
        let response = call(&gateway, ("POST", "/v1/auth/login"), None, &body).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.status(), 200);
        response.json::<Value>().await.unwrap()
    };
    let mut expected = json!({
        "access_token": "access-secret", "token_type": "bearer", "expires_in": 30, "session_id": 5,
    });
    assert_eq!(log_in(None).await, expected);
    assert_eq!(log_in(Some(false)).await, expected);
    expected["refresh_token"] = "refresh-secret".into();
    expected["refresh_expires_in"] = 60.into();
    assert_eq!(log_in(Some(true)).await, expected);

    let body = json!({"refresh_token": "any"});
    let response = call(&gateway, ("POST", "/v1/auth/refresh"), None, &body).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.json::<Value>().await.unwrap(), expected);
}

#[tokio::test]
async fn bodies_are_checked_before_anything_else() {
    let (auth, gateway) = gateway().await;
    let token = auth.token(5);
    let credentials =
        |refresh: Value| json!({"username": "a", "password": "b", "refresh": refresh});
    let password =
        |current: Value, new: &str| json!({"current_password": current, "new_password": new});
    for (method, path, body, place, kind) in [
        ("POST", "login", credentials(json!(1)), "refresh", "bool_type"),
        ("POST", "login", credentials(Value::Null), "refresh", "bool_type"),
        ("POST", "refresh", json!({}), "refresh_token", "missing"),
        ("POST", "refresh", json!({"refresh_token": null}), "refresh_token", "string_type"),
        ("POST", "refresh", json!({"refresh_token": 5}), "refresh_token", "string_type"),
        ("PUT", "password", password(json!("x"), "short"), "new_password", "string_too_short"),
        (
            "PUT",
            "password",
            password(Value::Null, "long enough"),
            "current_password",
            "string_type",
        ),
        ("POST", "password/reset", json!({"new_password": "long enough"}), "code", "missing"),
        ("POST", "password/reset", json!({"code": "x"}), "new_password", "missing"),
    ] {
        let path = format!("/v1/auth/{path}");
        let response = call(&gateway, (method, &path), Some(&token), &body).await;
        let answer = assert_error(response, 422, "validation_error").await;
        let entries = answer["detail"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{path} {answer}");
        assert_eq!(entries[0]["loc"], json!(["body", place]), "{path}");
        assert_eq!(entries[0]["type"], kind, "{path}");
    }
    assert_eq!(auth.take_clients().len(), 0);
}

#[tokio::test]
async fn calls_without_a_token_ignore_authorization() {
    let (_auth, gateway) = gateway().await;
    for (path, body, status) in [
        ("/v1/auth/login", json!({"username": "ann", "password": "secret"}), 200),
        ("/v1/auth/refresh", json!({"refresh_token": "any"}), 200),
        ("/v1/auth/password/reset", json!({"code": "any", "new_password": "long enough"}), 204),
    ] {
        let response = call(&gateway, ("POST", path), Some("nonsense"), &body).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn sessions_are_listed_with_the_current_one_marked() {
    let (auth, gateway) = gateway().await;
    let response =
        call(&gateway, ("GET", "/v1/auth/sessions"), Some(&auth.token(5)), &Value::Null).await;
    let time = |micros| format!("1970-01-01T00:00:00.00000{micros}Z");
    let session = |id, user_agent: Value, is_current| {
        json!({
            "id": id, "created_at": time(1), "last_used_at": time(2), "expires_at": time(3),
            "user_agent": user_agent, "address": "192.0.2.1", "is_current": is_current,
        })
    };
    let expected =
        json!({"sessions": [session(6, Value::Null, false), session(5, json!("curl"), true)]});
    assert_eq!(response.json::<Value>().await.unwrap(), expected);
}

#[tokio::test]
async fn auth_learns_who_the_client_is() {
    let auth = AuthDouble::start().await;
    let trusted = ["--trusted-proxies=127.0.0.0/8"];
    let gateway = TestGateway::start_with_auth(&auth, &trusted).await;
    let token = auth.token(5);
    let passwords = json!({"current_password": "secret", "new_password": "long enough"});
    let registration = json!({"username": "anna", "password": "long enough"});
    let calls = [
        ("POST", "/v1/auth/register", registration, 201),
        ("POST", "/v1/auth/login", json!({"username": "ann", "password": "secret"}), 200),
        ("POST", "/v1/auth/refresh", json!({"refresh_token": "any"}), 200),
        ("POST", "/v1/auth/password/reset", json!({"code": "x", "new_password": "12345678"}), 204),
        ("PUT", "/v1/auth/password", passwords, 204),
        ("DELETE", "/v1/auth/sessions/6", Value::Null, 204),
        ("DELETE", "/v1/auth/sessions", Value::Null, 204),
        ("POST", "/v1/auth/logout", Value::Null, 204),
    ];
    for (method, path, body, status) in calls {
        let request = gateway.request(method, path).header("content-type", "application/json");
        let request = request.header("x-request-id", "my-id").bearer_auth(&token);
        let request = request.header("x-forwarded-for", "2001:db8::1");
        let request = request.header("user-agent", "é".repeat(600));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        assert_eq!(request.body(body).send().await.unwrap().status(), status, "{method} {path}");
        let clients = auth.take_clients();
        assert_eq!(clients.len(), 1, "{method} {path}");
        assert_eq!(clients[0].address, "2001:db8::1");
        assert_eq!(clients[0].user_agent, Some("é".repeat(512)));
        assert_eq!(clients[0].request_id, "my-id");
    }
}

#[tokio::test]
async fn a_password_that_auth_refuses_names_its_field_and_does_not_count() {
    let auth = AuthDouble::start().await;
    let strict = ["--log-ins-per-minute=1", "--log-ins-burst=1"];
    let gateway = TestGateway::start_with_auth(&auth, &strict).await;
    auth.refuse(ErrorCode::Validation, None);
    let token = auth.token(5);
    let change = json!({"current_password": "secret", "new_password": "password"});
    let first = json!({"new_password": "password"});
    let reset = json!({"code": "x", "new_password": "password"});
    let registration = json!({"username": "anna", "password": "password"});
    for (method, path, body, field, kind) in [
        ("POST", "/v1/auth/register", registration, "password", "value_error"),
        ("PUT", "/v1/auth/password", change, "new_password", "value_error"),
        ("PUT", "/v1/auth/password", first.clone(), "new_password", "value_error"),
        ("POST", "/v1/auth/password/reset", reset, "new_password", "value_error"),
    ] {
        let response = call(&gateway, (method, path), Some(&token), &body).await;
        let answer = assert_error(response, 422, "validation_error").await;
        assert_eq!(answer["detail"][0]["loc"], json!(["body", field]), "{path}");
        assert_eq!(answer["detail"][0]["type"], kind, "{path}");
    }
    auth.refuse(ErrorCode::WrongPassword, None);
    let change = ("PUT", "/v1/auth/password");
    let response = call(&gateway, change, Some(&token), &first).await;
    let answer = assert_error(response, 422, "validation_error").await;
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "current_password"]));
    assert_eq!(answer["detail"][0]["type"], "missing");
}

#[tokio::test]
async fn all_calls_that_cost_a_hash_are_counted_together() {
    let auth = AuthDouble::start().await;
    let strict = ["--log-ins-per-minute=1", "--log-ins-burst=4"];
    let gateway = TestGateway::start_with_auth(&auth, &strict).await;
    let token = auth.token(5);
    let change = json!({"current_password": "secret", "new_password": "password"});
    let reset = json!({"code": "x", "new_password": "password"});
    let log_in = json!({"username": "ann", "password": "secret"});
    let registration = json!({"username": "anna", "password": "password"});
    let calls = [
        (("POST", "/v1/auth/register"), registration),
        (("POST", "/v1/auth/login"), log_in),
        (("PUT", "/v1/auth/password"), change),
        (("POST", "/v1/auth/password/reset"), reset),
    ];
    for (path, body) in &calls {
        assert!(call(&gateway, *path, Some(&token), body).await.status().is_success());
    }
    for (path, body) in &calls {
        let response = call(&gateway, *path, Some(&token), body).await;
        assert_error(response, 429, "rate_limited").await;
    }
    let body = json!({"refresh_token": "any"});
    let refreshed = call(&gateway, ("POST", "/v1/auth/refresh"), None, &body).await;
    assert_eq!(refreshed.status(), 200);
}

#[tokio::test]
async fn the_wait_that_auth_demands_is_passed_on() {
    let (auth, gateway) = gateway().await;
    auth.refuse(ErrorCode::RateLimited, Some(Duration::from_secs(17)));
    let body = json!({"username": "ann", "password": "secret"});
    let response = call(&gateway, ("POST", "/v1/auth/login"), None, &body).await;
    assert_eq!(response.headers()["retry-after"], "17");
    assert_error(response, 429, "rate_limited").await;
}

#[tokio::test]
async fn an_ended_session_is_refused_and_its_sockets_close_with_4403() {
    let (auth, gateway) = gateway().await;
    let (ended, other) = (auth.token(5), auth.token(6));
    let mut socket_of_ended = socket(&gateway, &ended).await;
    let mut socket_of_other = socket(&gateway, &other).await;
    assert_eq!(me(&gateway, &ended).await.status(), 200);
    auth.end_session(5);
    assert_ends(&mut socket_of_ended, "session_revoked", 4403).await;
    assert_error(me(&gateway, &ended).await, 401, "session_revoked").await;
    assert_eq!(upgrade(gateway.address, Some(&ended)).await, Some(401));
    let options = WebSocketOptions::default();
    let mut late = WebSocket::connect_with(gateway.address, options).await.unwrap();
    late.send(&json!({"type": "auth", "token": ended})).await.unwrap();
    assert_ends(&mut late, "session_revoked", 4403).await;

    assert_eq!(me(&gateway, &other).await.status(), 200);
    assert_eq!(socket_of_other.request(json!({"type": "ping"})).await.unwrap()["type"], "pong");
}

#[tokio::test]
async fn a_socket_belongs_to_the_session_of_its_last_auth_frame() {
    let (auth, gateway) = gateway().await;
    let mut renewed = socket(&gateway, &auth.token(5)).await;
    let auth_frame = json!({"type": "auth", "token": auth.token(6)});
    assert_eq!(renewed.request(auth_frame.clone()).await.unwrap()["user_id"], USER_ID);
    let mut left = socket(&gateway, &auth.token(5)).await;
    auth.end_session(5);
    assert_ends(&mut left, "session_revoked", 4403).await;
    assert_eq!(renewed.request(json!({"type": "ping"})).await.unwrap()["type"], "pong");
    auth.end_session(6);
    assert_ends(&mut renewed, "session_revoked", 4403).await;

    // An `auth` frame with an ended session ends a socket of another one.
    let mut other = socket(&gateway, &auth.token(7)).await;
    other.send(&auth_frame).await.unwrap();
    assert_ends(&mut other, "session_revoked", 4403).await;
}

#[tokio::test]
async fn a_socket_of_an_inactive_user_or_of_a_withdrawn_key_closes_with_4403() {
    for (kids, inactive_user_ids, code) in
        [(&["k1"][..], &[USER_ID][..], "inactive_user"), (&["k2"], &[], "invalid_token")]
    {
        let (auth, gateway) = gateway().await;
        let token = auth.token(5);
        let mut socket = socket(&gateway, &token).await;
        // The keys are fetched only once more, from a replica that is behind.
        auth.send_state(kids, inactive_user_ids);
        assert_ends(&mut socket, "session_revoked", 4403).await;
        assert_error(me(&gateway, &token).await, 401, code).await;
    }
}

#[tokio::test]
async fn a_gateway_without_news_from_auth_refuses_tokens_and_sockets_until_it_hears_again() {
    let (auth, gateway) = gateway().await;
    let (ended, token) = (auth.token(5), auth.token(6));
    let mut socket_of_ended = socket(&gateway, &ended).await;
    let mut open = socket(&gateway, &token).await;
    auth.hang(true);
    // Ends meanwhile: nobody knows.
    auth.end_session(5);
    eventually("tokens are refused", async || me(&gateway, &token).await.status() == 503).await;
    let response = me(&gateway, &ended).await;
    assert!(response.headers().contains_key("retry-after"));
    assert_error(response, 503, "unavailable").await;
    assert_eq!(upgrade(gateway.address, Some(&token)).await, Some(503));
    assert_eq!(upgrade(gateway.address, None).await, Some(503));
    // What is open goes on, and what needs no token, too.
    assert_eq!(open.request(json!({"type": "ping"})).await.unwrap()["type"], "pong");
    let body = json!({"refresh_token": "any"});
    let refreshed = call(&gateway, ("POST", "/v1/auth/refresh"), None, &body).await;
    assert_eq!(refreshed.status(), 200);

    auth.hang(false);
    eventually("tokens are accepted", async || me(&gateway, &token).await.status() == 200).await;
    assert_ends(&mut socket_of_ended, "session_revoked", 4403).await;
    assert_error(me(&gateway, &ended).await, 401, "session_revoked").await;
    assert_eq!(open.request(json!({"type": "ping"})).await.unwrap()["type"], "pong");
}
