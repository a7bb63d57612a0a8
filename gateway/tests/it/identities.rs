//! The exchange of identities, with a double of auth.

use std::time::Duration;

use parlance_core::ErrorCode;
use reqwest::Response;
use serde_json::{Value, json};

use crate::app::{TestGateway, assert_error};
use crate::auth_double::{AuthDouble, USER_ID};

async fn exchange(gateway: &TestGateway, body: &Value) -> Response {
    let request = gateway.request("POST", "/v1/auth/exchange");
    let request = request.header("content-type", "application/json");
    // It is not looked at.
    let request = request.header("authorization", "Bearer nonsense");
    request.body(body.to_string()).send().await.unwrap()
}

#[tokio::test]
async fn an_exchange_answers_as_a_log_in_and_with_the_user() {
    let auth = AuthDouble::start().await;
    let gateway = TestGateway::start_with_auth(&auth, &[]).await;
    for refresh in [false, true] {
        let mut body = json!({"token": "t", "username": "anna"});
        if refresh {
            body["refresh"] = true.into();
        }
        let answer = exchange(&gateway, &body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["token_type"], &answer["session_id"]), (&json!("bearer"), &json!(5)));
        assert_eq!(answer["user"]["id"], USER_ID);
        let members = answer.as_object().unwrap();
        assert_eq!(members.contains_key("refresh_token"), refresh);
        assert_eq!(members.contains_key("refresh_expires_in"), refresh);
    }
}

#[tokio::test]
async fn members_are_checked_before_the_token_and_without_counting() {
    let auth = AuthDouble::start().await;
    auth.refuse(ErrorCode::IdentityRefused, None);
    let gateway =
        TestGateway::start_with_auth(&auth, &["--log-ins-per-minute=1", "--log-ins-burst=1"]).await;
    for (body, expected) in [
        (json!({}), &["token missing"][..]),
        (json!({"token": null}), &["token string_type"]),
        (json!({"token": 1, "refresh": "yes"}), &["token string_type", "refresh bool_type"]),
        (json!({"token": "t", "username": "a"}), &["username string_too_short"]),
        (json!({"token": "t", "username": "a b c"}), &["username value_error"]),
        (json!({"token": "t", "username": null}), &["username string_type"]),
    ] {
        let answer = exchange(&gateway, &body).await;
        assert_eq!(answer.status(), 422);
        let answer: Value = answer.json().await.unwrap();
        let errors = answer["detail"].as_array().unwrap();
        let text = |it: &Value| {
            format!("{} {}", it["loc"][1].as_str().unwrap(), it["type"].as_str().unwrap())
        };
        assert_eq!(errors.iter().map(text).collect::<Vec<_>>(), expected);
    }
    let answer = exchange(&gateway, &json!({"token": "t"})).await;
    assert_error(answer, 401, "identity_refused").await;
    let limited = exchange(&gateway, &json!({"token": "t"})).await;
    assert_eq!(limited.status(), 429);
    assert!(limited.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn refusals_have_the_status_and_the_sentence_of_the_contract() {
    let auth = AuthDouble::start().await;
    let gateway = TestGateway::start_with_auth(&auth, &[]).await;
    for (code, status, sentence) in [
        (ErrorCode::IdentityRefused, 401, "This identity was not accepted"),
        (ErrorCode::UsernameNeeded, 409, "Choose a username"),
        (ErrorCode::UsernameTaken, 400, "Username already registered"),
        (ErrorCode::RegistrationClosed, 403, "Registration is closed"),
    ] {
        auth.refuse(code, None);
        let answer = exchange(&gateway, &json!({"token": "t"})).await;
        assert_eq!(assert_error(answer, status, code.name()).await["detail"], sentence);
    }
    auth.refuse(ErrorCode::Unavailable, Some(Duration::from_secs(3)));
    assert_eq!(exchange(&gateway, &json!({"token": "t"})).await.status(), 503);
}
