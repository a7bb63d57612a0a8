//! Logging in, and the issued tokens.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use parlance_core::ErrorCode;
use parlance_proto::auth::AccessState;
use serde::Deserialize;
use tokio::time::Instant;

use crate::app::{Auth, PASSWORD, refusal};

#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    sub: String,
    username: String,
    pub(crate) sid: String,
    iat: i64,
    pub(crate) exp: i64,
    jti: String,
}

/// Verifies a token as the gateway does, except for its expiry: the clock of the test stands still.
pub(crate) fn verify(
    token: &str,
    state: &AccessState,
    issuer: &str,
    audience: &str,
) -> TokenData<Claims> {
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = state.keys.iter().find(|key| key.kid == kid).expect("the key is published");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    jsonwebtoken::decode(token, &DecodingKey::from_ed_der(&key.ed25519), &validation).unwrap()
}

#[tokio::test]
async fn a_token_names_its_user_and_its_expiry() {
    let auth = Auth::start().await;
    let user = auth.register("Anna").await;
    let answer = auth.log_in("aNNA", PASSWORD).await.unwrap();
    assert_eq!(answer.expires_in_s, 8 * 24 * 3600);

    let claims =
        verify(&answer.access_token, &auth.access_state().await, "parlance", "parlance").claims;
    assert_eq!(claims.sub, user.id.to_string());
    assert_eq!(claims.username, "Anna");
    assert_eq!(claims.iat, auth.clock.now().as_seconds());
    assert_eq!(claims.exp, claims.iat + answer.expires_in_s);
}

#[tokio::test]
async fn a_token_names_its_session_and_is_of_the_type_for_access() {
    let auth = Auth::start().await;
    let user = auth.register("anna").await;
    let answer = auth.log_in("anna", PASSWORD).await.unwrap();
    let token = verify(&answer.access_token, &auth.access_state().await, "parlance", "parlance");
    assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
    assert!(answer.session_id > 0);
    assert_eq!(token.claims.sid, answer.session_id.to_string());
    assert_eq!(auth.session_ids(user.id).await, [answer.session_id]);
    assert_eq!(answer.refresh_token, None, "the log-in did not ask for one");
}

#[tokio::test]
async fn issuer_audience_and_ttl_are_settings() {
    let auth = Auth::start_with(&[
        "--token-issuer",
        "we",
        "--token-audience",
        "you",
        "--access-token-ttl",
        "60",
    ])
    .await;
    auth.register("anna").await;
    let answer = auth.log_in("anna", PASSWORD).await.unwrap();
    assert_eq!(answer.expires_in_s, 60);
    let claims = verify(&answer.access_token, &auth.access_state().await, "we", "you").claims;
    assert_eq!(claims.exp - claims.iat, 60);
}

#[tokio::test]
async fn every_token_has_an_id_of_its_own() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let state = auth.access_state().await;
    let mut ids = HashSet::new();
    for _ in 0..5 {
        let token = auth.log_in("anna", PASSWORD).await.unwrap().access_token;
        assert!(ids.insert(verify(&token, &state, "parlance", "parlance").claims.jti));
    }
}

#[tokio::test]
async fn every_refused_log_in_has_the_same_answer() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    auth.register("berta").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE WHERE username = 'berta'").await;
    let too_long = "a".repeat(73);
    let attempts = [
        ("anna", "wrong password"),
        ("nobody", PASSWORD),
        ("berta", PASSWORD),
        ("an na", PASSWORD),
        ("", PASSWORD),
        ("anna\0", PASSWORD),
        ("anna", ""),
        ("anna", "short"),
        ("anna", &too_long),
        ("anna", "correct horse\0"),
    ];
    for (username, password) in attempts {
        let status = auth.log_in(username, password).await.unwrap_err();
        let entries = (status.code(), status.message(), status.metadata().get("parlance-error"));
        let expected = (tonic::Code::Unauthenticated, "Incorrect username or password");
        assert_eq!((entries.0, entries.1), expected, "{username:?} {password:?}");
        assert_eq!(entries.2.unwrap(), ErrorCode::InvalidCredentials.name());
        assert!(status.details().is_empty());
    }
}

#[tokio::test]
async fn a_user_made_active_again_logs_in_again() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE").await;
    assert_eq!(refusal(auth.log_in("anna", PASSWORD).await), ErrorCode::InvalidCredentials);
    auth.execute("UPDATE auth.users SET is_active = TRUE").await;
    auth.log_in("anna", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_right_password_renews_a_hash_of_another_cost() {
    let cheap = Auth::start_with(&["--bcrypt-cost", "4"]).await;
    cheap.register("anna").await;
    let hashes_of_cost = async |cost: u32| {
        let hashes = "SELECT count(*) FROM auth.users WHERE substr(password_hash, 5, 2)::INT = ";
        cheap.count_of(format!("{hashes}{cost}")).await
    };
    let costly =
        Auth::start_on(&cheap.database_url, cheap.clock.clone(), &["--bcrypt-cost", "5"]).await;
    assert_eq!(refusal(costly.log_in("anna", "wrong one").await), ErrorCode::InvalidCredentials);
    assert_eq!(hashes_of_cost(4).await, 1);
    let log_ins = (0..10).map(|_| costly.log_in("anna", PASSWORD));
    join_all(log_ins).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(hashes_of_cost(5).await, 1);
    costly.log_in("anna", PASSWORD).await.unwrap();
    assert_eq!(refusal(costly.log_in("anna", "wrong one").await), ErrorCode::InvalidCredentials);

    cheap.log_in("anna", PASSWORD).await.unwrap();
    assert_eq!(hashes_of_cost(4).await, 1);
}

/// A look-up takes about a millisecond and a hash of this cost twenty, so a hash that is missing or
/// computed twice shows in the time.
#[tokio::test]
async fn every_refused_log_in_costs_the_same() {
    let auth = Auth::start_with(&["--bcrypt-cost", "8"]).await;
    auth.register("anna").await;
    auth.register("berta").await;
    auth.register("clara").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE WHERE username = 'berta'").await;
    auth.execute("UPDATE auth.users SET password_hash = NULL WHERE username = 'clara'").await;
    for (username, cost) in [("dora", "4"), ("emil", "9")] {
        let cost = ["--bcrypt-cost", cost];
        let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &cost).await;
        other.register(username).await;
    }

    let attempts = [
        ("anna", "wrong password"),
        ("nobody", PASSWORD),
        ("berta", PASSWORD),
        ("an na", PASSWORD),
        ("anna", "short"),
        ("clara", PASSWORD),
        ("dora", "wrong password"),
        ("emil", "wrong password"),
        ("dora", "short"),
    ];
    let mut times: [Vec<Duration>; 9] = Default::default();
    for _ in 0..15 {
        auth.execute("TRUNCATE auth.log_in_failures").await;
        for ((username, password), times) in attempts.iter().zip(&mut times) {
            let started = Instant::now();
            auth.log_in(username, password).await.unwrap_err();
            times.push(started.elapsed());
        }
    }
    let medians = times.map(median);
    let wrong_password = medians[0];
    for (attempt, time) in attempts.iter().zip(medians) {
        assert!(time < wrong_password * 2 && wrong_password < time * 2, "{attempt:?}: {medians:?}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
