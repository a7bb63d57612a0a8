//! Invalid bodies: the answer names every error and never repeats the input.

use bytes::Bytes;
use parlance_client::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Api, fresh_name, make_room, person, stack};

const REGISTER: &str = "/v1/auth/register";

async fn post_raw(path: &str, content_type: Option<&str>, body: impl Into<Bytes>) -> Answer {
    let mut request = Request::new(Method::POST, path).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Api::at(stack().await, 0).send(request).await
}

async fn register(body: impl Into<Bytes>) -> Answer {
    post_raw(REGISTER, Some("application/json"), body).await
}

#[tokio::test]
async fn all_missing_members_are_reported() {
    register("{}").await.invalid(&["body.username missing", "body.password missing"]);
    register(r#"{"username": "abc"}"#).await.invalid(&["body.password missing"]);
}

#[tokio::test]
async fn all_values_of_a_wrong_type_are_reported() {
    for value in ["null", "1", "1.5e3", "true", "[]", "{}", "[\"abc\"]", "99999999999999999999999"]
    {
        let body = format!(r#"{{"username": {value}, "password": {value}}}"#);
        register(body).await.invalid(&["body.username string_type", "body.password string_type"]);
    }
}

#[tokio::test]
async fn an_empty_body_is_missing() {
    register("").await.invalid(&["body missing"]);
    post_raw(REGISTER, None, "").await.invalid(&["body missing"]);
}

#[tokio::test]
async fn json_that_is_no_object_is_refused() {
    for body in ["null", "[]", "\"text\"", "5", "true", "[{\"username\": \"abc\"}]"] {
        register(body).await.invalid(&["body value_error"]);
    }
}

#[tokio::test]
async fn invalid_json_is_refused() {
    for body in [
        "{",
        " ",
        "{\"username\": \"abc\",}",
        "username=abc",
        "{'username': 'abc'}",
        "{} {}",
        "\u{feff}{}",
    ] {
        register(body).await.invalid(&["body json_invalid"]);
    }
    register(b"{\"username\": \"\xff\xfe\"}".to_vec()).await.invalid(&["body json_invalid"]);
    register(vec![0_u8; 100]).await.invalid(&["body json_invalid"]);
}

#[tokio::test]
async fn a_lone_surrogate_is_no_json() {
    for lone in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\ud800"] {
        let body = format!(r#"{{"username": "abc{lone}", "password": "securepass123"}}"#);
        register(body).await.invalid(&["body json_invalid"]);
    }
}

#[tokio::test]
async fn nan_and_infinity_are_no_json() {
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", ".5", "0x1"] {
        let body = format!(r#"{{"username": "abc", "password": "securepass123", "x": {number}}}"#);
        register(body).await.invalid(&["body json_invalid"]);
    }
}

#[tokio::test]
async fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(9_000), close.repeat(9_000));
        register(format!("{{\"username\": {deep}}}")).await.invalid(&["body json_invalid"]);
        register(deep).await.invalid(&["body json_invalid"]);
    }
}

#[tokio::test]
async fn nul_is_refused_wherever_it_would_be_stored() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    anna.post("/v1/rooms", &json!({"name": "a\0"})).await.invalid(&["body.name value_error"]);
    let path = format!("/v1/messages/rooms/{room}");
    anna.post(&path, &json!({"content": "a\0"})).await.invalid(&["body.content value_error"]);
    anna.post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": ["a\0bc"]})).await.ok(200);
}

#[tokio::test]
async fn a_repeated_member_counts_once() {
    let name = fresh_name();
    let body = format!(
        r#"{{"username": 5, "username": "{name}", "password": "x", "password": "securepass123"}}"#
    );
    assert_eq!(register(body).await.ok(201)["username"], name);
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let body = json!({"username": fresh_name(), "password": "securepass123"}).to_string();
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "text/json",
        "json",
    ] {
        post_raw(REGISTER, Some(other), body.clone()).await.refused(415, "unsupported_media_type");
    }
    post_raw(REGISTER, None, body.clone()).await.refused(415, "unsupported_media_type");
    post_raw(REGISTER, Some("Application/JSON; charset=utf-8"), body).await.ok(201);
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_and_the_answer_arrives() {
    for size in [(64 << 10) + 1, 3 << 19, 2 << 20] {
        register(" ".repeat(size)).await.refused(413, "payload_too_large");
    }
    register(" ".repeat(64 << 10)).await.invalid(&["body json_invalid"]);
}

#[tokio::test]
async fn an_invalid_token_is_reported_before_a_large_body() {
    for token in [None, Some("x.y.z")] {
        let mut request = Request::new(Method::POST, "/v1/rooms").body(" ".repeat(3 << 19));
        if let Some(token) = token {
            request = request.bearer(token);
        }
        let code = if token.is_some() { "invalid_token" } else { "unauthenticated" };
        Api::at(stack().await, 0).send(request).await.refused(401, code);
    }
}

#[tokio::test]
async fn a_large_body_with_a_valid_token_is_refused() {
    let anna = person(stack().await).await;
    for path in ["/v1/rooms", "/v1/contacts/1/accept"] {
        let request = Request::new(Method::POST, path).header("content-type", "application/json");
        let answer = anna.send(request.body(" ".repeat(3 << 19))).await;
        answer.refused(413, "payload_too_large");
    }
}

#[tokio::test]
async fn no_422_repeats_what_was_sent() {
    let anna = person(stack().await).await;
    // Without a username nothing is stored.
    let secret = "Tr0ub4dor&3";
    let texts = [
        json!(secret),
        json!([secret]),
        json!({secret: secret}),
        json!(format!("{secret} \0")),
        Value::Null,
    ];
    for text in texts {
        let body = json!({"username": text, "password": text, "name": [text], "usernames": text,
            "member_usernames": text, "content": [text], "client_msg_id": [text], secret: text});
        for path in [
            REGISTER,
            "/v1/contacts/invite",
            "/v1/rooms",
            "/v1/rooms/1/members",
            "/v1/messages/rooms/1",
        ] {
            let answer = anna.post(path, &body).await;
            assert!(!answer.text.contains(secret), "{answer:?}");
        }
    }
    let raw = Request::new(Method::POST, "/v1/rooms").header("content-type", "application/json");
    let answer = anna.send(raw.body(format!("{{\"name\": \"{secret}"))).await;
    assert!(!answer.text.contains(secret), "{answer:?}");
    let answer = anna.get(&format!("/v1/rooms/{secret}")).await;
    assert!(!answer.text.contains(secret), "{answer:?}");
    let answer = anna.get(&format!("/v1/messages/rooms/1/history?limit={secret}")).await;
    assert!(!answer.text.contains(secret), "{answer:?}");
    let answer = anna.get(&format!("/{secret}")).await;
    assert!(!answer.text.contains(secret), "{answer:?}");
}
