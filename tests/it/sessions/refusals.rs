//! The refusals of every call.

use parlance_client::{Method, Request, endpoints};
use serde_json::json;

use super::log_in;
use crate::support::{Api, fresh_name, person, stack};

#[tokio::test]
async fn calls_that_need_a_token_are_refused_without_one() {
    let api = Api::at(stack().await, 0);
    for (method, path) in [
        (Method::POST, "/v1/auth/logout"),
        (Method::GET, "/v1/auth/sessions"),
        (Method::DELETE, "/v1/auth/sessions"),
        (Method::DELETE, "/v1/auth/sessions/1"),
        (Method::PUT, "/v1/auth/password"),
    ] {
        let request = Request::new(method, path);
        api.send(request.clone()).await.refused(401, "unauthenticated");
        api.send(request.bearer("nonsense")).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn calls_without_a_token_ignore_authorization_and_check_their_bodies_first() {
    let stack = stack().await;
    let session = log_in(&person(stack).await).await;
    let bad = |request: Request| request.bearer("nonsense");
    session.send(bad(endpoints::refresh(&session.refresh_token))).await.ok(200);
    for (path, body, expected) in [
        ("refresh", json!({}), vec!["body.refresh_token missing"]),
        ("refresh", json!({"refresh_token": null}), vec!["body.refresh_token string_type"]),
        ("refresh", json!({"refresh_token": [1]}), vec!["body.refresh_token string_type"]),
        ("password/reset", json!({}), vec!["body.code missing", "body.new_password missing"]),
        (
            "login",
            json!({"username": "a", "password": "b", "refresh": "yes"}),
            vec!["body.refresh bool_type"],
        ),
    ] {
        let request = Request::post(format!("/v1/auth/{path}"), &body);
        session.send(bad(request)).await.invalid(&expected);
    }
    let reset = endpoints::reset_password("nonsense", "long enough");
    session.send(bad(reset)).await.refused(400, "reset_code_invalid");
}

#[tokio::test]
async fn the_refusals_of_registration_and_log_in_are_as_before() {
    let stack = stack().await;
    let anna = person(stack).await;
    let api = Api::at(stack, 1);
    api.send(endpoints::register(&anna.name, "long enough")).await.refused(400, "username_taken");
    api.send(endpoints::login_with_refresh(&fresh_name(), "any"))
        .await
        .refused(401, "invalid_credentials");
    let wrong_method = Request::new(Method::GET, "/v1/auth/refresh");
    api.send(wrong_method).await.refused(405, "method_not_allowed");
}
