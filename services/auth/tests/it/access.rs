//! Keys and deactivations: what verifiers of tokens receive, and when.

use std::time::Duration;

use parlance_auth::commands;
use parlance_core::{Clock, ErrorCode, Timestamp};
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{AccessState, GetAccessStateRequest};

use crate::app::{Auth, PASSWORD, refusal};

/// Returns the id of the key that signs on this replica now.
async fn signing_kid(auth: &Auth) -> String {
    let token = auth.log_in("anna", PASSWORD).await.unwrap().access_token;
    jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
}

fn kids(state: &AccessState) -> Vec<&str> {
    state.keys.iter().map(|key| key.kid.as_str()).collect()
}

#[tokio::test]
async fn three_replicas_on_an_empty_database_make_one_key() {
    let url = parlance_testkit::fresh_database().await.unwrap();
    let clock = Clock::system();
    let start = || Auth::start_on(&url, clock.clone(), &[]);
    let (first, second, third) = tokio::join!(start(), start(), start());

    first.register("anna").await;
    let kid = signing_kid(&first).await;
    assert_eq!(signing_kid(&second).await, kid);
    assert_eq!(signing_kid(&third).await, kid);
    assert_eq!(kids(&third.access_state().await), [kid]);
}

#[tokio::test]
async fn a_signing_key_survives_a_restart() {
    let auth = Auth::start().await;
    let before = auth.access_state().await;
    auth.lifecycle.draining().cancel();
    let restarted = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    assert_eq!(restarted.access_state().await, before);
}

#[tokio::test]
async fn rotated_keys_are_published_before_they_sign() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let old_kid = signing_kid(&auth).await;
    let mut watch = auth.watch().await;

    let rotation = auth.rotation(&["--key-publication-lead", "60"]);
    let new_kid = commands::rotate_keys(&rotation, &auth.clock).await.unwrap().kid;
    let state = watch.wait_for(|state| state.keys.len() == 2).await;
    assert_eq!(kids(&state), [&old_kid, &new_kid]);
    assert_eq!(signing_kid(&auth).await, old_kid);

    auth.clock.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert_eq!(signing_kid(&auth).await, old_kid);
    auth.clock.advance(Duration::from_micros(1));
    assert_eq!(signing_kid(&auth).await, new_kid);
}

#[tokio::test]
async fn the_first_key_signs_even_if_the_clock_of_a_replica_is_behind() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let slow_clock = Clock::manual(Timestamp::from_micros(auth.clock.now().as_micros() - 1));
    let behind = Auth::start_on(&auth.database_url, slow_clock, &[]).await;
    assert_eq!(signing_kid(&behind).await, signing_kid(&auth).await);
}

#[tokio::test]
async fn the_old_key_is_published_until_its_tokens_expire() {
    let auth = Auth::start_with(&["--access-token-ttl", "3600"]).await;
    auth.register("anna").await;
    let old_kid = signing_kid(&auth).await;
    let mut watch = auth.watch().await;
    let rotation = auth.rotation(&["--key-publication-lead", "60", "--access-token-ttl", "3600"]);
    let new_kid = commands::rotate_keys(&rotation, &auth.clock).await.unwrap().kid;
    watch.wait_for(|state| state.keys.len() == 2).await;

    auth.clock.advance(Duration::from_secs(60 + 3600) - Duration::from_micros(1));
    assert_eq!(kids(&auth.access_state().await), [&old_kid, &new_kid]);
    auth.clock.advance(Duration::from_micros(1));
    assert_eq!(kids(&auth.access_state().await), [&new_kid]);

    let state = watch.wait_for(|state| state.keys.len() == 1).await;
    assert_eq!(kids(&state), [&new_kid]);
    assert_eq!(
        auth.count("SELECT count(*) FROM auth.signing_keys").await,
        1,
        "the retired key is deleted"
    );
}

#[tokio::test]
async fn rotations_at_the_same_moment_leave_one_newest_key() {
    let auth = Auth::start().await;
    let config = auth.rotation(&[]);
    let rotate = || commands::rotate_keys(&config, &auth.clock);
    let results: [_; 4] = tokio::join!(rotate(), rotate(), rotate(), rotate()).into();

    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    assert!(succeeded >= 1, "{results:?}");
    assert_eq!(auth.access_state().await.keys.len(), 1 + succeeded);
    let newest =
        auth.count("SELECT count(*) FROM auth.signing_keys WHERE retires_at IS NULL").await;
    assert_eq!(newest, 1);
}

#[tokio::test]
async fn a_watcher_receives_the_current_state_first() {
    let auth = Auth::start().await;
    let state = auth.watch().await.next().await.unwrap();
    assert_eq!(state, auth.access_state().await);
    assert_eq!((state.keys.len(), state.inactive_user_ids.len()), (1, 0));
    assert_eq!(state.keys[0].ed25519.len(), 32);
}

#[tokio::test]
async fn deactivation_reaches_a_watcher() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let anna = auth.register("anna").await;
    let mut watch = other.watch().await;

    auth.execute("UPDATE auth.users SET is_active = FALSE WHERE username = 'anna'").await;
    assert_eq!(auth.access_state().await.inactive_user_ids, [anna.id]);
    watch.wait_for(|state| state.inactive_user_ids == [anna.id]).await;

    auth.execute("UPDATE auth.users SET is_active = TRUE WHERE username = 'anna'").await;
    watch.wait_for(|state| state.inactive_user_ids.is_empty()).await;
}

#[tokio::test]
async fn registrations_do_not_touch_the_access_state() {
    let auth = Auth::start().await;
    let revision = "SELECT revision FROM auth.access_revision";
    let before = auth.count(revision).await;
    auth.register("anna").await;
    assert_eq!(auth.count(revision).await, before);
}

#[tokio::test]
async fn a_watch_ends_when_the_process_drains() {
    let auth = Auth::start().await;
    let mut watch = auth.watch().await;
    watch.next().await.unwrap();
    auth.lifecycle.draining().cancel();
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn calls_without_the_internal_credential_are_refused() {
    let auth = Auth::start().await;
    let channel = auth.client.replicas().borrow()[0].channel();
    let mut client = AuthServiceClient::new(channel);
    let result = client.get_access_state(GetAccessStateRequest {}).await;
    assert_eq!(refusal(result), ErrorCode::Unauthenticated);
}
