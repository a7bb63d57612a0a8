//! Replacing leaked keys: nobody stays logged in, and everybody can log in again at once.

use std::time::Duration;

use parlance_auth::commands;
use parlance_core::ErrorCode;
use parlance_proto::auth::{LogInRequest, Tokens};

use crate::app::{Auth, PASSWORD, refresh_token, refusal};

fn kid(tokens: &Tokens) -> String {
    jsonwebtoken::decode_header(&tokens.access_token).unwrap().kid.unwrap()
}

/// Replaces all keys and returns the id of the new one.
async fn replace(auth: &Auth) -> String {
    let config = auth.rotation(&["--leaked", "--key-publication-lead", "1"]);
    commands::rotate_keys(&config, &auth.clock).await.unwrap().kid
}

#[tokio::test]
async fn only_the_new_key_is_left_and_all_sessions_have_ended() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let anna = auth.register("anna").await;
    let before = auth.log_in_to_refresh("anna").await;
    let mut watch = other.watch().await;

    let new_kid = replace(&auth).await;
    let is_alone = |state: &parlance_proto::auth::AccessState| {
        state.keys.len() == 1 && state.keys[0].kid == new_kid
    };
    watch.wait_for(is_alone).await;
    assert!(is_alone(&auth.access_state().await));
    for replica in [&auth, &other] {
        let refused = replica.refresh(refresh_token(&before)).await;
        assert_eq!(refusal(refused), ErrorCode::SessionRevoked);
    }
    assert!(auth.session_ids(anna.id).await.is_empty());
}

#[tokio::test]
async fn everybody_logs_in_with_the_new_key_at_once_on_every_replica() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let anna = auth.register("anna").await;
    let new_kid = replace(&auth).await;
    for replica in [&auth, &other] {
        let tokens = replica.log_in_to_refresh("anna").await;
        assert_eq!(kid(&tokens), new_kid);
        let renewed = replica.refresh(refresh_token(&tokens)).await.unwrap();
        assert_eq!(kid(&renewed), new_kid);
        assert!(auth.session_ids(anna.id).await.contains(&tokens.session_id));
    }
}

/// Log-ins and refreshes beside the command: all log-ins are answered, and no token of the new key
/// belongs to a session that ended with the old one.
#[tokio::test]
async fn no_session_survives_with_an_old_key_or_dies_with_a_new_one() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let mut log_ins = tokio::task::JoinSet::new();
    for number in 0..6 {
        let name = format!("anna{}", char::from(b'a' + number));
        let user_id = auth.register(&name).await.id;
        let mut client = if number % 2 == 0 { auth.grpc() } else { other.grpc() };
        log_ins.spawn(async move {
            let request = LogInRequest {
                username: name,
                password: PASSWORD.to_owned(),
                client: None,
                refresh: true,
            };
            let until = tokio::time::Instant::now() + Duration::from_secs(2);
            let mut begun = Vec::new();
            while begun.len() < 90 && tokio::time::Instant::now() < until {
                let answer = client.log_in(request.clone()).await.unwrap();
                begun.push(answer.into_inner().tokens.unwrap());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (user_id, begun)
        });
    }
    let new_kid = replace(&auth).await;
    let mut with_new_key = 0;
    for (user_id, begun) in log_ins.join_all().await {
        let live = other.session_ids(user_id).await;
        for tokens in &begun {
            let is_new = kid(tokens) == new_kid;
            assert_eq!(live.contains(&tokens.session_id), is_new);
            with_new_key += usize::from(is_new);
        }
    }
    assert!(with_new_key > 0);
}

#[tokio::test]
async fn replacements_at_the_same_moment_leave_one_key_and_a_service_that_works() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let config = auth.rotation(&["--leaked", "--key-publication-lead", "1"]);
    let replace = || commands::rotate_keys(&config, &auth.clock);
    let results: [_; 3] = tokio::join!(replace(), replace(), replace()).into();
    assert!(results.iter().any(Result::is_ok), "{results:?}");
    assert_eq!(auth.access_state().await.keys.len(), 1);
    let tokens = auth.log_in_to_refresh("anna").await;
    assert_eq!(kid(&tokens), auth.access_state().await.keys[0].kid);
    auth.refresh(refresh_token(&tokens)).await.unwrap();
}
