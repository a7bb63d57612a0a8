//! Changing a password, and resetting it by a code.

use parlance_client::{Method, Request, endpoints};
use parlance_devstack::Stack;
use serde_json::json;

use super::{is_revoked, log_in, log_in_with};
use crate::support::{Api, PASSWORD, Person, auth_command, eventually, person, stack};

const NEW_PASSWORD: &str = "another secure one";

/// The code that an operator issues.
async fn issue_code(stack: &Stack, person: &Person) -> String {
    let output = auth_command(stack, &["issue-reset", &person.name], &[]).await;
    output.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned()
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions_and_this_one_goes_on() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (kept, ended) = (log_in(&anna).await, log_in(&anna).await);
    let (mut open, mut closed) = (kept.socket().await, ended.at(stack, 1).socket().await);
    let change = endpoints::change_password(&kept.token, PASSWORD, NEW_PASSWORD);
    kept.send(change).await.ok(204);
    is_revoked(&mut closed).await;
    ended.is_ended(stack).await;
    kept.me().await.ok(200);
    assert_eq!(open.ask(&json!({"type": "ping"})).await["type"], "pong");
    kept.refreshed().await;
    let old = kept.send(endpoints::login(&anna.name, PASSWORD)).await;
    old.refused(401, "invalid_credentials");
    log_in_with(&anna.api, &anna.name, NEW_PASSWORD).await;
}

#[tokio::test]
async fn a_change_is_refused_in_the_order_of_the_contract() {
    let stack = stack().await;
    let anna = person(stack).await;
    let change = async |body| {
        let request = Request::new(Method::PUT, "/v1/auth/password").json(&body);
        anna.send(request).await
    };
    let unauthenticated = Request::new(Method::PUT, "/v1/auth/password").json(&json!({}));
    anna.api.send(unauthenticated).await.refused(401, "unauthenticated");
    change(json!({"current_password": "wrong", "new_password": "short"}))
        .await
        .invalid(&["body.new_password string_too_short"]);
    change(json!({"current_password": 1, "new_password": "x".repeat(73)}))
        .await
        .invalid(&["body.new_password string_too_long", "body.current_password string_type"]);
    change(json!({"new_password": NEW_PASSWORD})).await.invalid(&["body.current_password missing"]);
    for _ in 0..5 {
        change(json!({"current_password": "wrong", "new_password": NEW_PASSWORD}))
            .await
            .refused(400, "wrong_password");
    }
    // They count as failed log-ins.
    let limited = change(json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD})).await;
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    limited.refused(429, "rate_limited");
    change(json!({"current_password": PASSWORD, "new_password": "short"}))
        .await
        .invalid(&["body.new_password string_too_short"]);
}

#[tokio::test]
async fn a_code_resets_the_password_once_and_ends_all_sessions() {
    let stack = stack().await;
    let anna = person(stack).await;
    let session = log_in(&anna).await;
    let mut socket = session.socket().await;
    let (void, code) = (issue_code(stack, &anna).await, issue_code(stack, &anna).await);
    let reset = async |code: &str, password: &str| {
        Api::at(stack, 1).send(endpoints::reset_password(code, password)).await
    };
    reset(&void, NEW_PASSWORD).await.refused(400, "reset_code_invalid");
    reset("nonsense", NEW_PASSWORD).await.refused(400, "reset_code_invalid");
    reset(&code, "short").await.invalid(&["body.new_password string_too_short"]);
    reset(&code, NEW_PASSWORD).await.ok(204);
    reset(&code, PASSWORD).await.refused(400, "reset_code_invalid");
    is_revoked(&mut socket).await;
    session.is_ended(stack).await;
    let new = log_in_with(&anna.api, &anna.name, NEW_PASSWORD).await;
    eventually(super::SOON, "the new session is accepted", async || new.me().await.status == 200)
        .await;
}

#[tokio::test]
async fn guesses_wait_alike_for_names_that_nobody_has_and_only_where_they_come_from() {
    let stack = stack().await;
    let anna = person(stack).await;
    for name in [anna.name.clone(), crate::support::fresh_name()] {
        let guess = async || anna.api.send(endpoints::login(&name, "a wrong guess")).await;
        for _ in 0..5 {
            guess().await.refused(401, "invalid_credentials");
        }
        let limited = guess().await;
        assert_eq!(limited.header("retry-after"), "1");
        limited.refused(429, "rate_limited");
    }
}
