//! Changing the password, and setting a first one.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_core::ErrorCode::{InvalidCredentials, LogInAgain, RateLimited, WrongPassword};
use parlance_proto::auth::{ChangePasswordRequest, Tokens};
use parlance_runtime::error::{code_from_status, retry_after_from_status};
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;
use tonic::Status;

use crate::app::{Auth, PASSWORD, caller, refresh_token, refusal};

const NEW_PASSWORD: &str = "battery staple";

/// Registers a user and logs in. Returns the id of the user.
async fn user_with_session(auth: &Auth) -> (i64, Tokens) {
    let user = auth.register("anna").await;
    (user.id, auth.log_in_to_refresh("anna").await)
}

#[tokio::test]
async fn a_change_replaces_the_password_and_ends_all_other_sessions() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    let berta = auth.register("berta").await.id;
    auth.log_in("berta", PASSWORD).await.unwrap();
    let other = auth.log_in_to_refresh("anna").await;
    let mut watch = auth.watch().await;

    auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD).await.unwrap();
    assert_eq!(auth.session_ids(anna).await, [own.session_id]);
    assert_eq!(auth.session_ids(berta).await.len(), 1);
    auth.refresh(refresh_token(&own)).await.unwrap();
    assert_eq!(refusal(auth.refresh(refresh_token(&other)).await), ErrorCode::SessionRevoked);
    // The session, and the tokens that have none.
    watch.wait_for_ended(2).await;
    assert_eq!(watch.ended_sessions(), [other.session_id]);

    assert_eq!(refusal(auth.log_in("anna", PASSWORD).await), InvalidCredentials);
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
    auth.log_in("berta", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_change_without_a_session_ends_all_of_them() {
    let auth = Auth::start().await;
    let (anna, _) = user_with_session(&auth).await;
    let request = ChangePasswordRequest {
        caller: Some(caller(anna, None)),
        current_password: Some(PASSWORD.into()),
        new_password: NEW_PASSWORD.into(),
        client: None,
    };
    auth.grpc().change_password(request).await.unwrap();
    assert!(auth.session_ids(anna).await.is_empty());
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing_and_counts_as_a_failed_log_in() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    auth.log_in("anna", PASSWORD).await.unwrap();
    for current in ["wrong password", "short", "", "another", "wrong again"] {
        let change = auth.change_password(anna, own.session_id, Some(current), NEW_PASSWORD).await;
        assert_eq!(refusal(change), WrongPassword);
    }
    // A request without one is refused the same way, and is no try.
    let change = auth.change_password(anna, own.session_id, None, NEW_PASSWORD).await;
    assert_eq!(refusal(change), WrongPassword);
    assert_eq!(auth.session_ids(anna).await.len(), 2);
    let status =
        auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD).await.unwrap_err();
    assert_eq!(code_from_status(&status), RateLimited);
    assert_eq!(retry_after_from_status(&status), Some(Duration::from_secs(1)));
    assert_eq!(refusal(auth.log_in("anna", PASSWORD).await), RateLimited);

    // The rules for the new password come first.
    let change = auth.change_password(anna, own.session_id, Some(PASSWORD), "short").await;
    assert_eq!(refusal(change), ErrorCode::Validation);

    auth.execute("UPDATE auth.log_in_failures SET last_failed_at = now() - INTERVAL '2 s'").await;
    auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD).await.unwrap();
    assert_eq!(auth.count("SELECT count(*) FROM auth.log_in_failures").await, 0);
}

#[tokio::test]
async fn failed_log_ins_hold_back_a_change_too() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    for _ in 0..5 {
        assert_eq!(refusal(auth.log_in("anna", "wrong password").await), InvalidCredentials);
    }
    auth.execute("UPDATE auth.log_in_failures SET last_failed_at = now() + INTERVAL '30 s'").await;
    let change = auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD).await;
    assert_eq!(refusal(change), RateLimited);
}

#[tokio::test]
async fn of_parallel_changes_at_all_replicas_one_wins() {
    let first = Auth::start().await;
    let second = Auth::start_on(&first.database_url, first.clock.clone(), &[]).await;
    let (anna, _) = user_with_session(&first).await;
    // The refused changes and the log-ins below are fewer than the failures that make a user wait.
    let sessions = [0; 3].map(|_| first.log_in("anna", PASSWORD));
    let sessions = join_all(sessions).await.into_iter().map(Result::unwrap);
    let mut changes = JoinSet::new();
    for (number, session) in sessions.enumerate() {
        let mut grpc = [&first, &second][number % 2].grpc();
        let new_password = format!("new password {number}");
        let request = ChangePasswordRequest {
            caller: Some(caller(anna, Some(session.session_id))),
            current_password: Some(PASSWORD.into()),
            new_password: new_password.clone(),
            client: None,
        };
        changes.spawn(async move { (grpc.change_password(request).await, new_password) });
    }
    let results = changes.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(result, _)| result.is_ok());
    assert_eq!(won.len(), 1);
    for (result, password) in lost {
        assert_eq!(refusal(result), WrongPassword);
        assert_eq!(refusal(first.log_in("anna", &password).await), InvalidCredentials);
    }
    assert_eq!(first.session_ids(anna).await.len(), 1);
    first.log_in("anna", &won[0].1).await.unwrap();
}

/// The transaction of the test stands for a change of the password that is about to commit when the
/// log-in stores its session.
#[tokio::test]
async fn a_log_in_with_the_password_before_begins_no_session_after_a_change() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    let mut database = auth.database().await;
    let mut change = database.begin().await.unwrap();
    change
        .execute(
            "UPDATE auth.users SET password_hash = 'another', end_all_count = end_all_count + 1",
        )
        .await
        .unwrap();
    let log_in = async { refusal(auth.log_in("anna", PASSWORD).await) };
    let commit = async {
        auth.wait_for_blocked_statement().await;
        change.commit().await.unwrap();
    };
    assert_eq!(tokio::join!(log_in, commit).0, InvalidCredentials);
    assert_eq!(auth.session_ids(anna).await, [own.session_id]);
}

/// Runs a call while a renewed hash of the same password is about to commit.
async fn while_the_hash_is_renewed<T>(auth: &Auth, call: impl Future<Output = T>) -> T {
    let mut database = auth.database().await;
    let mut renewal = database.begin().await.unwrap();
    renewal
        .execute("UPDATE auth.users SET password_hash = replace(password_hash, '$2b$', '$2y$')")
        .await
        .unwrap();
    let commit = async {
        auth.wait_for_blocked_statement().await;
        renewal.commit().await.unwrap();
    };
    tokio::join!(call, commit).0
}

#[tokio::test]
async fn a_renewed_hash_is_no_other_password_for_a_log_in_or_a_change_in_progress() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    let change = auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD);
    while_the_hash_is_renewed(&auth, change).await.unwrap();
    while_the_hash_is_renewed(&auth, auth.log_in("anna", NEW_PASSWORD)).await.unwrap();
}

async fn set_first(auth: &Auth, user_id: i64, session: &Tokens) -> Result<(), Status> {
    auth.change_password(user_id, session.session_id, None, NEW_PASSWORD).await
}

#[tokio::test]
async fn an_account_without_a_password_gets_its_first_within_five_minutes_of_the_log_in() {
    let auth = Auth::start().await;
    let (anna, own) = user_with_session(&auth).await;
    let other = auth.log_in("anna", PASSWORD).await.unwrap();
    auth.execute("UPDATE auth.users SET password_hash = NULL").await;
    assert_eq!(refusal(auth.log_in("anna", PASSWORD).await), InvalidCredentials);

    let age = "UPDATE auth.sessions SET created_at = now() - INTERVAL '301 s'";
    auth.execute(age).await;
    assert_eq!(refusal(set_first(&auth, anna, &own).await), LogInAgain);
    let change = auth.change_password(anna, own.session_id, Some(PASSWORD), NEW_PASSWORD).await;
    assert_eq!(refusal(change), LogInAgain);

    auth.execute("UPDATE auth.sessions SET created_at = now() - INTERVAL '290 s'").await;
    let change = auth.change_password(anna, own.session_id, None, "short").await;
    assert_eq!(refusal(change), ErrorCode::Validation);
    set_first(&auth, anna, &own).await.unwrap();
    assert_eq!(refusal(set_first(&auth, anna, &other).await), WrongPassword);
    assert_eq!(auth.session_ids(anna).await, [own.session_id]);
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_first_password_needs_a_session_of_the_user() {
    let auth = Auth::start().await;
    let (anna, _) = user_with_session(&auth).await;
    auth.register("berta").await;
    let of_berta = auth.log_in("berta", PASSWORD).await.unwrap();
    auth.execute("UPDATE auth.users SET password_hash = NULL").await;
    assert_eq!(refusal(set_first(&auth, anna, &of_berta).await), LogInAgain);
    let request = ChangePasswordRequest {
        caller: Some(caller(anna, None)),
        current_password: None,
        new_password: NEW_PASSWORD.into(),
        client: None,
    };
    assert_eq!(refusal(auth.grpc().change_password(request).await), LogInAgain);
}
