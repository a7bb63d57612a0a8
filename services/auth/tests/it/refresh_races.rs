//! Refresh tokens used at the same time, on two replicas, and beside what ends their session.

use std::collections::HashSet;

use parlance_core::ErrorCode;
use parlance_proto::auth::{LogOutRequest, RefreshRequest, RefreshResponse, Tokens};
use parlance_runtime::error::code_from_status;
use tokio::task::JoinSet;
use tonic::{Response, Status};

use crate::app::{Auth, caller, refresh_token};
use crate::log_in::verify;
use crate::refresh::{end_grace, logged_in};

/// Uses one token fifty times at once, on two replicas by turns.
async fn fifty_refreshes(auth: &Auth, tokens: &Tokens) -> Vec<Result<Tokens, Status>> {
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let attempts = (0..50).map(|number| {
        let mut client = if number % 2 == 0 { auth.grpc() } else { other.grpc() };
        let request = request(tokens);
        async move { client.refresh(request).await }
    });
    let results = attempts.collect::<JoinSet<_>>().join_all().await;
    results.into_iter().map(|result| result.map(tokens_of)).collect()
}

fn request(tokens: &Tokens) -> RefreshRequest {
    RefreshRequest { refresh_token: refresh_token(tokens).to_owned(), client: None }
}

fn tokens_of(response: Response<RefreshResponse>) -> Tokens {
    response.into_inner().tokens.unwrap()
}

#[tokio::test]
async fn fifty_parallel_refreshes_within_the_grace_give_fifty_pairs_of_which_32_live_on() {
    let (auth, user_id, tokens) = logged_in().await;
    let results = fifty_refreshes(&auth, &tokens).await;
    let issued: Vec<Tokens> = results.into_iter().map(Result::unwrap).collect();
    let texts: HashSet<&str> = issued.iter().map(refresh_token).collect();
    assert_eq!(texts.len(), 50);
    assert_eq!(auth.session_ids(user_id).await, [tokens.session_id]);
    let mut live = 0;
    for pair in &issued {
        live += usize::from(auth.refresh(refresh_token(pair)).await.is_ok());
    }
    // Each of these refreshes made a newer token, but also used one up.
    assert_eq!(live, 32);
}

#[tokio::test]
async fn fifty_parallel_late_refreshes_give_fifty_pairs_if_no_successor_was_used() {
    let (auth, user_id, tokens) = logged_in().await;
    auth.refresh(refresh_token(&tokens)).await.unwrap();
    end_grace(&auth).await;
    let results = fifty_refreshes(&auth, &tokens).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(auth.session_ids(user_id).await, [tokens.session_id]);
}

#[tokio::test]
async fn fifty_parallel_late_refreshes_end_the_session_once_if_a_successor_was_used() {
    let (auth, user_id, tokens) = logged_in().await;
    let successor = auth.refresh(refresh_token(&tokens)).await.unwrap();
    auth.refresh(refresh_token(&successor)).await.unwrap();
    end_grace(&auth).await;
    for result in fifty_refreshes(&auth, &tokens).await {
        assert_eq!(code_from_status(&result.unwrap_err()), ErrorCode::SessionRevoked);
    }
    assert!(auth.session_ids(user_id).await.is_empty());
    assert_eq!(auth.count("SELECT count(*) FROM auth.ended_access").await, 1);
}

/// The end of the session is known with an expiry that covers all of its tokens, and none is issued
/// after it.
#[tokio::test]
async fn nothing_is_issued_for_a_session_that_has_ended() {
    let (auth, user_id, _) = logged_in().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let state = auth.access_state().await;
    for round in 0..20 {
        let tokens = auth.log_in_to_refresh("anna").await;
        let mut refreshes = JoinSet::new();
        for number in 0..6 {
            let mut client = if number % 2 == 0 { auth.grpc() } else { other.grpc() };
            let request = request(&tokens);
            refreshes.spawn(async move { client.refresh(request).await.map(tokens_of) });
        }
        // Each round ends the session a little later, so that some refreshes come first.
        tokio::time::sleep(std::time::Duration::from_micros(300 * round)).await;
        let caller = Some(caller(user_id, Some(tokens.session_id)));
        let log_out = LogOutRequest { caller, client: None };
        other.grpc().log_out(log_out).await.unwrap();
        let known: i64 = expiry_of_ended(&auth, tokens.session_id).await;

        for pair in refreshes.join_all().await.into_iter().flatten().chain([tokens]) {
            let claims = verify(&pair.access_token, &state, "parlance", "parlance").claims;
            assert!(claims.exp <= known, "a token outlives what is known of its end");
            let status = auth.refresh(refresh_token(&pair)).await.unwrap_err();
            assert_eq!(code_from_status(&status), ErrorCode::SessionRevoked);
        }
    }
}

async fn expiry_of_ended(auth: &Auth, session_id: i64) -> i64 {
    let mut connection = auth.database().await;
    let statement = "SELECT extract(EPOCH FROM expires_at)::BIGINT FROM auth.ended_access
        WHERE session_id = $1";
    sqlx::query_scalar(statement).bind(session_id).fetch_one(&mut connection).await.unwrap()
}
