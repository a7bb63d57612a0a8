//! What has ended: what verifiers of tokens receive, and when.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::auth::{LogOutRequest, WatchAccessStateRequest};
use parlance_runtime::error::code_from_status;
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::app::{Auth, PASSWORD, caller};

/// Adds sessions that have ended, with ids that no session has, behind the back of the service.
const END_25_000: &str = "INSERT INTO auth.ended_access (session_id, expires_at)
    SELECT number, to_timestamp(1900000000) FROM generate_series(1000001, 1025000) AS number";

#[tokio::test]
async fn a_watcher_receives_in_parts_what_has_ended_and_then_what_is_new() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let session_id = auth.log_in("anna", PASSWORD).await.unwrap().session_id;
    auth.execute(END_25_000).await;
    // Its state is complete once it has started.
    let auth = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;

    let mut watch = auth.watch().await;
    let mut parts = Vec::new();
    while !parts.last().is_some_and(|&(_, is_complete)| is_complete) {
        let message = watch.message().await.unwrap();
        assert_eq!(message.state.is_some(), parts.is_empty(), "the state comes once");
        parts.push((message.ended.len(), message.is_complete));
    }
    assert_eq!(parts, [(10_000, false), (10_000, false), (5_000, true)]);

    auth.log_out(anna.id, Some(session_id)).await;
    let message = watch.message().await.unwrap();
    assert_eq!((message.ended.len(), message.is_complete), (1, true));
    assert_eq!(message.state, None);
    let expected: Vec<i64> = [session_id].into_iter().chain(1_000_001..=1_025_000).collect();
    assert_eq!(watch.ended_sessions(), expected);
}

#[tokio::test]
async fn a_watcher_learns_that_nothing_has_ended() {
    let auth = Auth::start().await;
    let message = auth.watch().await.message().await.unwrap();
    assert_eq!((message.ended.len(), message.is_complete), (0, true));
    assert!(message.state.is_some());
}

#[tokio::test]
async fn every_watcher_of_every_replica_learns_of_every_end_once() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let anna = auth.register("anna").await;
    let mut sessions = Vec::new();
    for _ in 0..60 {
        sessions.push(auth.log_in("anna", PASSWORD).await.unwrap().session_id);
    }
    let mut watches =
        [auth.watch().await, auth.watch().await, other.watch().await, other.watch().await];
    let mut ends = JoinSet::new();
    for (number, &session_id) in sessions.iter().enumerate() {
        let mut client = if number % 2 == 0 { auth.grpc() } else { other.grpc() };
        let caller = Some(caller(anna.id, Some(session_id)));
        ends.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20 * (number % 30) as u64)).await;
            client.log_out(LogOutRequest { caller, client: None }).await.unwrap();
        });
    }
    ends.join_all().await;
    for watch in &mut watches {
        watch.wait_for_ended(sessions.len()).await;
        assert_eq!(watch.ended_sessions(), sessions);
    }
    let mut late = other.watch().await;
    late.wait_for_ended(sessions.len()).await;
    assert_eq!(late.ended_sessions(), sessions);
}

/// Two transactions end sessions. The one that was first to write is the last to commit.
#[tokio::test]
async fn an_end_that_commits_late_is_not_missed() {
    let auth = Auth::start().await;
    let mut watch = auth.watch().await;
    let mut first = auth.database().await;
    let mut transaction = first.begin().await.unwrap();
    let end = "INSERT INTO auth.ended_access (session_id, expires_at)
        VALUES (1000001, to_timestamp(1900000000))";
    sqlx::raw_sql(end).execute(&mut *transaction).await.unwrap();
    let second = auth.execute(
        "INSERT INTO auth.ended_access (session_id, expires_at)
        VALUES (1000002, to_timestamp(1900000000))",
    );
    let commit_first = async {
        auth.wait_for_blocked_statement().await;
        transaction.commit().await.unwrap();
    };
    tokio::join!(second, commit_first);
    watch.wait_for_ended(2).await;
    assert_eq!(watch.ended_sessions(), [1_000_001, 1_000_002]);
}

#[tokio::test]
async fn the_end_of_a_session_does_not_renew_keys_and_inactive_users() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let session_id = auth.log_in("anna", PASSWORD).await.unwrap().session_id;
    let revision = "SELECT revision FROM auth.access_revision";
    let before = auth.count(revision).await;
    auth.log_out(anna.id, Some(session_id)).await;
    assert_eq!(auth.count(revision).await, before);
    assert_eq!(auth.count("SELECT ended_revision FROM auth.access_revision").await, 1);
}

#[tokio::test]
async fn a_verifier_from_before_sessions_gets_the_state_in_every_message() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let mut watch = auth.watch_as(false).await;
    assert!(watch.any_message().await.unwrap().state.is_some());
    for _ in 0..3 {
        let session_id = auth.log_in("anna", PASSWORD).await.unwrap().session_id;
        auth.log_out(anna.id, Some(session_id)).await;
        let message = watch.any_message().await.unwrap();
        assert_eq!(message.state, Some(auth.access_state().await));
        assert_eq!(message.ended.len(), 1, "it gets none without a change");
    }
}

/// The database is kept from the replica by a lock.
#[tokio::test]
async fn a_replica_that_cannot_read_its_database_sends_nothing_and_refuses_new_verifiers() {
    let auth = Auth::start().await;
    let mut watch = auth.watch().await;
    watch.any_message().await.unwrap();
    for _ in 0..2 {
        let message = watch.any_message().await.unwrap();
        assert_eq!((message.state, message.ended.len()), (None, 0));
        assert!(message.is_complete);
    }
    let mut connection = auth.database().await;
    let mut transaction = connection.begin().await.unwrap();
    let lock = "LOCK TABLE auth.access_revision IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
    auth.wait_for_blocked_statement().await;
    let refusal = loop {
        let request = WatchAccessStateRequest { is_incremental: true };
        match auth.grpc().watch_access_state(request).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(status) => break code_from_status(&status),
        }
    };
    assert_eq!(refusal, ErrorCode::Unavailable);
    // What was confirmed before may still be on its way.
    let mut late = 0;
    while tokio::time::timeout(Duration::from_millis(1_200), watch.any_message()).await.is_ok() {
        late += 1;
        assert!(late < 8, "messages come although the database cannot be read");
    }
    transaction.rollback().await.unwrap();
    watch.any_message().await.unwrap();
}
