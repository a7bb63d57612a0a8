//! Which error of several is returned.

use serde_json::Value;

use crate::app::{FOREIGN_TOKEN, TestGateway, assert_error};

#[tokio::test]
async fn unknown_paths_are_not_found_with_or_without_a_token() {
    let gateway = TestGateway::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/rooms/",
        "/v1//rooms",
        "/V1/rooms",
        "/v1/nothing",
        "/docs/",
        "/docs/nothing.js",
        "/v1/rooms/1/members/",
    ] {
        assert_error(gateway.get(path).await, 404, "not_found").await;
        let request = gateway.request("POST", path).bearer_auth(FOREIGN_TOKEN).body("{");
        if path != "/docs/nothing.js" {
            assert_error(request.send().await.unwrap(), 404, "not_found").await;
        }
    }
}

#[tokio::test]
async fn a_wrong_method_comes_before_a_missing_token() {
    let gateway = TestGateway::start().await;
    for (method, path, allowed) in [
        ("GET", "/v1/auth/register", vec!["POST"]),
        ("PUT", "/v1/rooms", vec!["GET", "HEAD", "POST"]),
        ("OPTIONS", "/v1/rooms", vec!["GET", "HEAD", "POST"]),
        ("PUT", "/v1/rooms/1", vec!["DELETE", "GET", "HEAD", "PATCH"]),
        ("POST", "/v1/messages/1", vec!["DELETE", "PATCH"]),
        ("DELETE", "/v1/healthz", vec!["GET", "HEAD"]),
        ("BREW", "/docs", vec!["GET", "HEAD"]),
    ] {
        let response = gateway.request(method, path).send().await.unwrap();
        let allow = response.headers()["allow"].to_str().unwrap().to_owned();
        let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods, allowed, "{method} {path}");
        assert_error(response, 405, "method_not_allowed").await;
    }
}

/// Returns every operation of the document, with values for its path parameters.
async fn operations(gateway: &TestGateway) -> Vec<(String, String, Value)> {
    let document: Value = gateway.get("/v1/openapi.json").await.json().await.unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{username}", "ann").replace("{file}", "start.js");
            let path = ["room_id", "message_id", "invitation_id", "id"]
                .iter()
                .fold(path, |path, name| path.replace(&format!("{{{name}}}"), "abc"));
            operations.push((method.to_uppercase(), path, operation.clone()));
        }
    }
    operations
}

#[tokio::test]
async fn a_missing_or_bad_token_comes_before_every_other_error() {
    let gateway = TestGateway::start().await;
    let mut count = 0;
    for (method, path, operation) in operations(&gateway).await {
        let is_secured = operation["security"].to_string().contains("bearer");
        // A WebSocket may send its token in the first frame.
        if !is_secured || path == "/v1/messages/ws" {
            continue;
        }
        count += 1;
        for (authorization, code) in [
            (None, "unauthenticated"),
            (Some("Basic abc"), "unauthenticated"),
            (Some("Bearer"), "unauthenticated"),
            (Some("Bearer  "), "unauthenticated"),
            (Some("abc"), "unauthenticated"),
            (Some("Bearer nonsense"), "invalid_token"),
            (Some("bearer nonsense"), "invalid_token"),
            (Some("BEARER  nonsense "), "invalid_token"),
        ] {
            // The ids, the query and the body are bad as well.
            let mut request =
                gateway.request(&method, &format!("{path}?limit=x")).body("{".repeat(100_000));
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{method} {path}");
            assert_error(response, 401, code).await;
        }
    }
    assert!(count >= 21, "{count}");
}

#[tokio::test]
async fn an_error_names_every_wrong_field_and_repeats_no_value() {
    let gateway = TestGateway::start().await;
    let body = r#"{"username": "sécrèt hunter2", "password": "short12"}"#;
    let response = gateway.post("/v1/auth/register", body).await;
    let body = assert_error(response, 422, "validation_error").await;
    let entries = body["detail"].as_array().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["value_error", "string_too_short"]);
    assert!(
        entries[0]["msg"]
            .as_str()
            .unwrap()
            .contains("Username must contain only alphanumeric characters")
    );
    assert!(!body.to_string().contains("hunter2") && !body.to_string().contains("short12"));

    let response = gateway.post("/v1/auth/register", r#"{"username": null}"#).await;
    let body = assert_error(response, 422, "validation_error").await;
    let fields = body["detail"].as_array().unwrap().iter();
    let fields: Vec<String> =
        fields.map(|entry| format!("{} {}", entry["loc"], entry["type"])).collect();
    assert_eq!(
        fields,
        [r#"["body","username"] "string_type""#, r#"["body","password"] "missing""#],
    );
}

#[tokio::test]
async fn a_log_in_with_a_malformed_username_is_passed_to_auth() {
    let gateway = TestGateway::start().await;
    // 503 and not 422: the gateway calls auth, which is unreachable.
    let response = gateway.post("/v1/auth/login", r#"{"username": "a b", "password": ""}"#).await;
    assert_error(response, 503, "unavailable").await;
}
