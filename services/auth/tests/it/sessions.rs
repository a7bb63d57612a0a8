//! Sessions: how they begin, are listed, and end.

use parlance_core::ErrorCode;
use parlance_proto::auth::{
    ClientInfo, EndOtherSessionsRequest, EndSessionRequest, Tokens, UserTokens, ended_access,
};
use sqlx::Connection;
use tokio::task::JoinSet;
use tonic::Status;

use crate::app::{Auth, PASSWORD, caller, refresh_token, refusal};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

async fn end_session(auth: &Auth, user_id: i64, session_id: i64) -> Result<(), Status> {
    let request = EndSessionRequest { user_id, session_id, client: None };
    auth.grpc().end_session(request).await.map(|_| ())
}

async fn end_others(auth: &Auth, user_id: i64, session_id: Option<i64>) {
    let caller = Some(caller(user_id, session_id));
    let request = EndOtherSessionsRequest { caller, client: None };
    auth.grpc().end_other_sessions(request).await.unwrap();
}

async fn log_in(auth: &Auth, username: &str) -> Tokens {
    auth.log_in(username, PASSWORD).await.unwrap()
}

#[tokio::test]
async fn a_log_in_that_can_refresh_gets_a_short_token_and_a_refresh_token() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let tokens = auth.log_in_to_refresh("anna").await;
    assert_eq!(tokens.expires_in_s, 900);
    let refresh = tokens.refresh_token.unwrap();
    assert_eq!(refresh.expires_in_s, 30 * 86_400);
    assert_eq!(refresh.token.len(), 43, "256 bits in base64url");
}

#[tokio::test]
async fn no_token_outlives_its_session() {
    let auth = Auth::start_with(&["--session-ttl", "60"]).await;
    auth.register("anna").await;
    assert_eq!(log_in(&auth, "anna").await.expires_in_s, 60);
    let tokens = auth.log_in_to_refresh("anna").await;
    assert_eq!(tokens.expires_in_s, 60);
    assert_eq!(tokens.refresh_token.unwrap().expires_in_s, 60);
}

#[tokio::test]
async fn a_short_token_lives_no_longer_than_a_refresh_token_or_any_access_token() {
    let auth = Auth::start_with(&["--refresh-token-ttl", "50"]).await;
    auth.register("anna").await;
    assert_eq!(auth.log_in_to_refresh("anna").await.expires_in_s, 50);
    let short = ["--short-token-ttl", "40"];
    let auth = Auth::start_on(&auth.database_url, auth.clock.clone(), &short).await;
    assert_eq!(auth.log_in_to_refresh("anna").await.expires_in_s, 40);
    let access = ["--access-token-ttl", "30"];
    let auth = Auth::start_on(&auth.database_url, auth.clock.clone(), &access).await;
    assert_eq!(auth.log_in_to_refresh("anna").await.expires_in_s, 30);
}

#[tokio::test]
async fn sessions_are_listed_with_their_client_the_newest_first() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    auth.register("berta").await;
    log_in(&auth, "berta").await;
    let client = ClientInfo {
        address: "::ffff:192.0.2.1".to_owned(),
        user_agent: Some("ä".repeat(600)),
        ..ClientInfo::default()
    };
    let first = auth.log_in_as("anna", PASSWORD, false, Some(client)).await.unwrap();
    let second = log_in(&auth, "anna").await;

    let sessions = auth.sessions(anna.id).await;
    let ids: Vec<i64> = sessions.iter().map(|session| session.id).collect();
    assert_eq!(ids, [second.session_id, first.session_id]);
    assert_eq!((&sessions[0].user_agent, &sessions[0].address), (&None, &None));
    assert_eq!(sessions[1].address.as_deref(), Some("192.0.2.1"));
    assert_eq!(sessions[1].user_agent, Some("ä".repeat(512)));
    assert!(sessions[0].created_at_us > sessions[1].created_at_us);
    assert_eq!(sessions[0].last_used_at_us, sessions[0].created_at_us);
}

#[tokio::test]
async fn a_session_expires_with_what_can_renew_it() {
    let auth = Auth::start_with(&["--session-ttl", "3456000"]).await;
    let anna = auth.register("anna").await;
    log_in(&auth, "anna").await;
    let renewable = auth.log_in_to_refresh("anna").await;
    let lifetimes = async || {
        let sessions = auth.sessions(anna.id).await;
        sessions.iter().map(|s| s.expires_at_us - s.created_at_us).collect::<Vec<_>>()
    };
    assert_eq!(lifetimes().await, [30 * DAY_US, 8 * DAY_US]);

    // Twenty days later, 30 more days would be more than the 40 days of the session.
    auth.execute(
        "UPDATE auth.sessions SET
            created_at = created_at - INTERVAL '20 days',
            expires_at = expires_at - INTERVAL '20 days',
            ends_at = ends_at - INTERVAL '20 days'",
    )
    .await;
    let renewed = auth.refresh(refresh_token(&renewable)).await.unwrap();
    assert_eq!(lifetimes().await[0], 40 * DAY_US);
    let expires_in_s = renewed.refresh_token.unwrap().expires_in_s;
    assert!((20 * 86_400 - 60..20 * 86_400).contains(&expires_in_s), "{expires_in_s}");
}

#[tokio::test]
async fn only_a_refresh_moves_the_last_use() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let tokens = auth.log_in_to_refresh("anna").await;
    let created = auth.sessions(anna.id).await[0].created_at_us;
    assert_eq!(auth.sessions(anna.id).await[0].last_used_at_us, created);
    auth.refresh(refresh_token(&tokens)).await.unwrap();
    let session = auth.sessions(anna.id).await.remove(0);
    assert!(session.last_used_at_us > created);
    assert_eq!(session.created_at_us, created);
}

#[tokio::test]
async fn expired_sessions_are_not_listed_and_cannot_be_ended() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let session = log_in(&auth, "anna").await.session_id;
    auth.execute("UPDATE auth.sessions SET expires_at = now()").await;
    assert!(auth.sessions(anna.id).await.is_empty());
    assert_eq!(refusal(end_session(&auth, anna.id, session).await), ErrorCode::SessionNotFound);
}

#[tokio::test]
async fn of_more_than_a_hundred_sessions_the_oldest_ends() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let anna = auth.register("anna").await;
    let oldest = [log_in(&auth, "anna").await.session_id, log_in(&auth, "anna").await.session_id];
    let log_ins = (0..100).map(|number| {
        let mut client = if number % 2 == 0 { auth.grpc() } else { other.grpc() };
        let request = parlance_proto::auth::LogInRequest {
            username: "anna".to_owned(),
            password: PASSWORD.to_owned(),
            client: Some(ClientInfo {
                address: format!("192.0.2.{number}"),
                ..ClientInfo::default()
            }),
            refresh: false,
        };
        async move { client.log_in(request).await }
    });
    let results = log_ins.collect::<JoinSet<_>>().join_all().await;
    assert!(results.iter().all(Result::is_ok));

    let live = auth.session_ids(anna.id).await;
    assert_eq!(live.len(), 100);
    assert!(!live.contains(&oldest[0]) && !live.contains(&oldest[1]));
    let mut watch = auth.watch().await;
    watch.wait_for_ended(2).await;
    assert_eq!(watch.ended_sessions(), oldest);
}

#[tokio::test]
async fn a_log_out_ends_the_session_of_the_token_alone() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let ended = auth.log_in_to_refresh("anna").await;
    let kept = auth.log_in_to_refresh("anna").await;
    let mut watch = auth.watch().await;

    auth.log_out(anna.id, Some(ended.session_id)).await;
    let entry = watch.wait_for_ended(1).await[0].clone();
    assert_eq!(entry.tokens, Some(ended_access::Tokens::SessionId(ended.session_id)));
    assert_eq!(entry.expires_at_s, auth.clock.now().as_seconds() + ended.expires_in_s);
    let refused = auth.refresh(refresh_token(&ended)).await;
    assert_eq!(refusal(refused), ErrorCode::SessionRevoked);
    assert_eq!(auth.session_ids(anna.id).await, [kept.session_id]);

    auth.log_out(anna.id, Some(ended.session_id)).await;
    auth.refresh(refresh_token(&kept)).await.unwrap();
}

#[tokio::test]
async fn a_log_out_without_a_session_ends_the_token() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let session = log_in(&auth, "anna").await.session_id;
    let mut watch = auth.watch().await;
    auth.log_out(anna.id, None).await;
    auth.log_out(anna.id, None).await;
    let caller = caller(anna.id, None);
    let entry = watch.wait_for_ended(1).await[0].clone();
    assert_eq!(entry.tokens, Some(ended_access::Tokens::TokenId(caller.token_id)));
    assert_eq!(entry.expires_at_s, caller.expires_at_s);
    assert_eq!(auth.session_ids(anna.id).await, [session]);
    assert_eq!(auth.count("SELECT count(*) FROM auth.ended_access").await, 1);
}

#[tokio::test]
async fn a_user_ends_only_live_sessions_of_their_own() {
    let auth = Auth::start().await;
    let (anna, berta) = (auth.register("anna").await, auth.register("berta").await);
    let own = log_in(&auth, "anna").await.session_id;
    let of_berta = log_in(&auth, "berta").await.session_id;
    for session in [of_berta, 999_999, 0, -1, i64::MAX] {
        let refused = end_session(&auth, anna.id, session).await;
        assert_eq!(refusal(refused), ErrorCode::SessionNotFound, "{session}");
    }
    end_session(&auth, anna.id, own).await.unwrap();
    assert_eq!(refusal(end_session(&auth, anna.id, own).await), ErrorCode::SessionNotFound);
    assert_eq!(auth.session_ids(berta.id).await, [of_berta]);
}

#[tokio::test]
async fn ending_the_other_sessions_keeps_that_of_the_caller() {
    let auth = Auth::start().await;
    let (anna, berta) = (auth.register("anna").await, auth.register("berta").await);
    let first = log_in(&auth, "anna").await.session_id;
    let own = auth.log_in_to_refresh("anna").await;
    let last = log_in(&auth, "anna").await.session_id;
    let of_berta = log_in(&auth, "berta").await.session_id;
    let mut watch = auth.watch().await;

    end_others(&auth, anna.id, Some(own.session_id)).await;
    assert_eq!(auth.session_ids(anna.id).await, [own.session_id]);
    assert_eq!(auth.session_ids(berta.id).await, [of_berta]);
    auth.refresh(refresh_token(&own)).await.unwrap();
    // Tokens without a session end, too.
    let now_s = auth.clock.now().as_seconds();
    let user_tokens = UserTokens { user_id: anna.id, issued_until_s: now_s };
    let ended = watch.wait_for_ended(3).await;
    let of_user = ended
        .iter()
        .find(|entry| entry.tokens == Some(ended_access::Tokens::UserTokens(user_tokens)));
    assert_eq!(of_user.unwrap().expires_at_s, now_s + 8 * 86_400);
    assert_eq!(watch.ended_sessions(), [first, last]);
}

#[tokio::test]
async fn ending_the_other_sessions_without_a_session_ends_all() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    log_in(&auth, "anna").await;
    log_in(&auth, "anna").await;
    end_others(&auth, anna.id, None).await;
    assert!(auth.session_ids(anna.id).await.is_empty());
    end_others(&auth, anna.id, None).await;
    let of_users = "SELECT count(*) FROM auth.ended_access WHERE user_id IS NOT NULL";
    assert_eq!(auth.count(of_users).await, 1, "one entry a user");
}

/// Runs a log-in whose password is right, and a change of the account between the check of the
/// password and the beginning of the session.
async fn log_in_during(auth: &Auth, change: &'static str) -> Result<Tokens, Status> {
    let mut connection = auth.database().await;
    let mut transaction = connection.begin().await.unwrap();
    let lock = "SELECT FROM auth.users WHERE username = 'anna' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
    let change_when_it_waits = async {
        auth.wait_for_blocked_statement().await;
        sqlx::raw_sql(change).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    };
    tokio::join!(auth.log_in("anna", PASSWORD), change_when_it_waits).0
}

#[tokio::test]
async fn a_log_in_with_a_password_that_is_replaced_meanwhile_begins_no_session() {
    let changes = [
        "UPDATE auth.users SET password_hash = 'x', end_all_count = end_all_count + 1",
        "UPDATE auth.users SET is_active = FALSE",
    ];
    for change in changes {
        let auth = Auth::start().await;
        auth.register("anna").await;
        let refused = log_in_during(&auth, change).await;
        assert_eq!(refusal(refused), ErrorCode::InvalidCredentials, "{change}");
        assert_eq!(auth.count("SELECT count(*) FROM auth.sessions").await, 0);
    }
}

#[tokio::test]
async fn neither_a_renewed_hash_nor_the_end_of_all_sessions_refuses_a_log_in() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let changes = [
        "UPDATE auth.users SET end_all_count = end_all_count + 1",
        "UPDATE auth.users SET password_hash = 'x'",
    ];
    for change in changes {
        log_in_during(&auth, change).await.unwrap();
    }
}
