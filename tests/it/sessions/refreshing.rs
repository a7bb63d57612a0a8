//! Refresh tokens: new pairs, the grace, reuse, bounds.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use parlance_client::endpoints;
use parlance_devstack::Stack;
use serde_json::json;

use super::{Session, execute, is_revoked, log_in};
use crate::support::{Api, PASSWORD, assert_members, person, stack};

/// Lets the grace of all used tokens of a session pass.
async fn let_the_grace_pass(stack: &Stack, session: &Session) {
    let statement = "UPDATE auth.refresh_tokens SET first_used_at = first_used_at - INTERVAL '31 s' \
                     WHERE session_id = ANY($1)";
    execute(stack, statement, &[session.id]).await;
}

/// Refreshes with the same token 50 times at once, at both gateways. Returns the successes.
async fn refresh_50_times(stack: &Stack, session: &Session) -> Vec<Session> {
    let session = &session;
    let answers = (0..50).map(|call| async move {
        let answer = session.at(stack, call % 2).refresh().await;
        if answer.status == 200 {
            return Some(Session::new(&session.api, &answer.json()));
        }
        answer.refused(401, "session_revoked");
        None
    });
    join_all(answers).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_log_in_tells_its_session_and_a_refresh_token_only_on_request() {
    let anna = person(stack().await).await;
    let answer = anna.api.send(endpoints::login(&anna.name, PASSWORD)).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let plain = answer.ok(200);
    assert_members(&plain, &["access_token", "token_type", "expires_in", "session_id"]);
    assert_eq!(plain["expires_in"], 8 * 24 * 3600);

    let answer = anna.api.send(endpoints::login_with_refresh(&anna.name, PASSWORD)).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let full = answer.ok(200);
    let members = ["access_token", "token_type", "expires_in", "session_id", "refresh_token"];
    assert_members(&full, &[&members[..], &["refresh_expires_in"]].concat());
    assert_eq!((&full["expires_in"], &full["token_type"]), (&json!(900), &json!("bearer")));
    assert_eq!(full["refresh_expires_in"], 30 * 24 * 3600);
    assert_ne!(full["session_id"], plain["session_id"]);
}

#[tokio::test]
async fn refreshing_gives_a_new_pair_of_the_same_session_at_any_gateway() {
    let stack = stack().await;
    let first = log_in(&person(stack).await).await;
    let answer = first.at(stack, 1).refresh().await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.ok(200);
    let members = ["access_token", "token_type", "expires_in", "session_id", "refresh_token"];
    assert_members(&body, &[&members[..], &["refresh_expires_in"]].concat());
    let second = Session::new(&first.api, &body);
    assert_eq!(second.id, first.id);
    assert!(second.token != first.token && second.refresh_token != first.refresh_token);
    for session in [&first, &second] {
        session.me().await.ok(200);
    }
    second.refreshed().await.me().await.ok(200);
}

#[tokio::test]
async fn refreshing_disturbs_no_open_socket() {
    let stack = stack().await;
    let first = log_in(&person(stack).await).await;
    let mut socket = first.socket().await;
    let second = first.refreshed().await;
    assert_eq!(socket.so_far().await.len(), 0);
    let answer = socket.ask(&json!({"type": "auth", "token": second.token})).await;
    assert_eq!(answer["type"], "success");
}

#[tokio::test]
async fn what_is_no_live_refresh_token_is_session_revoked() {
    let stack = stack().await;
    let session = log_in(&person(stack).await).await;
    for bad in ["", "nonsense", &session.token, &format!("{} ", session.refresh_token), "a\0b"] {
        Api::at(stack, 0).send(endpoints::refresh(bad)).await.refused(401, "session_revoked");
    }
    session.refreshed().await;
}

#[tokio::test]
async fn fifty_parallel_refreshes_within_the_grace_all_live_on() {
    let stack = stack().await;
    let session = log_in(&person(stack).await).await;
    let successors = refresh_50_times(stack, &session).await;
    assert_eq!(successors.len(), 50);
    let tokens: HashSet<&str> = successors.iter().map(|it| it.refresh_token.as_str()).collect();
    assert_eq!(tokens.len(), 50, "each gets another pair");
    for successor in &successors {
        assert_eq!(successor.id, session.id);
        successor.me().await.ok(200);
    }
    // The oldest of more than 32 unused ones have gone. That ends nothing.
    let mut live = 0;
    for successor in &successors {
        live += usize::from(successor.refresh().await.status == 200);
    }
    assert_eq!(live, 32);
    session.me().await.ok(200);
}

#[tokio::test]
async fn fifty_parallel_late_refreshes_live_on_while_no_successor_has_been_used() {
    let stack = stack().await;
    let session = log_in(&person(stack).await).await;
    session.refreshed().await;
    let_the_grace_pass(stack, &session).await;
    let successors = refresh_50_times(stack, &session).await;
    assert_eq!(successors.len(), 50);
    successors[0].me().await.ok(200);
    // It may happen again.
    let_the_grace_pass(stack, &session).await;
    session.refreshed().await;
}

#[tokio::test]
async fn fifty_parallel_late_refreshes_after_a_used_successor_end_the_session() {
    let stack = stack().await;
    let session = log_in(&person(stack).await).await;
    let successor = session.refreshed().await;
    let newest = successor.refreshed().await;
    let mut sockets = [newest.socket().await, newest.at(stack, 1).socket().await];
    // Within the grace it is a second tab.
    session.refreshed().await;
    let_the_grace_pass(stack, &session).await;
    assert_eq!(refresh_50_times(stack, &session).await.len(), 0);
    for socket in &mut sockets {
        is_revoked(socket).await;
    }
    newest.is_ended(stack).await;
}

#[tokio::test]
async fn a_refresh_token_ends_when_it_expires_and_no_access_token_outlives_its_session() {
    let builder = Stack::builder().gateways(2);
    let builder = builder.environment("auth", "REFRESH_TOKEN_TTL", "3");
    let stack = &builder.start().await.unwrap();
    let anna = person(stack).await;
    let answer = anna.api.send(endpoints::login_with_refresh(&anna.name, PASSWORD)).await.ok(200);
    assert_eq!(answer["refresh_expires_in"], 3);
    assert!(answer["expires_in"].as_i64().unwrap() <= 3, "{answer}");
    let session = Session::new(&anna.api, &answer);
    // A look at whether it has ended would renew it.
    tokio::time::sleep(Duration::from_secs(4)).await;
    session.refresh().await.refused(401, "session_revoked");
    session.me().await.refused(401, "token_expired");
}
