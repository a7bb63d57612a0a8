//! The keys of issuers: fetched, cached, replaced, and kept while the issuer is away.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_testkit::issuer::{Behaviour, Issuer, Key, key_set};

use crate::app::{Auth, eventually, refusal};
use crate::issuers::{IssuersFile, Trusting, identifier};

#[tokio::test]
async fn keys_are_fetched_once_for_many_exchanges() {
    let host = Trusting::start("").await;
    let token = host.token("anna");
    let answers = join_all((0..20).map(|_| host.auth.exchange(&token))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(host.issuer.requests(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    let new = Key::ed25519("second").unwrap();
    host.issuer.publish(&[&new]);
    host.auth.exchange(&new.token(&host.auth.claims("anna"))).await.unwrap();
    // The old key has gone with the old document.
    assert_eq!(refusal(host.auth.exchange(&host.token("anna")).await), ErrorCode::IdentityRefused);
}

#[tokio::test]
async fn many_unknown_keys_cause_one_fetch() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    let unknown: Vec<_> =
        (0..200).map(|number| Key::p256(&format!("u{number}")).unwrap()).collect();
    let tokens: Vec<_> = unknown.iter().map(|it| it.token(&host.auth.claims("anna"))).collect();
    for answer in join_all(tokens.iter().map(|token| host.auth.exchange(token))).await {
        let code = refusal(answer);
        assert!(matches!(code, ErrorCode::IdentityRefused | ErrorCode::Unavailable), "{code:?}");
    }
    assert_eq!(host.issuer.requests(), 2);
    host.auth.exchange(&host.token("anna")).await.unwrap();
}

#[tokio::test]
async fn keys_are_kept_while_the_issuer_is_away() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    host.issuer.behave(Behaviour::Away);
    let unknown = Key::p256("unknown").unwrap().token(&host.auth.claims("anna"));
    assert_eq!(refusal(host.auth.exchange(&unknown).await), ErrorCode::IdentityRefused);
    assert_eq!(host.issuer.requests(), 2);
    host.auth.exchange(&host.token("anna")).await.unwrap();
}

/// Every issuer gets better after all of them were refused.
#[tokio::test]
async fn an_issuer_that_misbehaves_is_refused_until_it_behaves() {
    let key = Key::p256("first").unwrap();
    let good = Issuer::start(&[&key]).await.unwrap();
    let document = key_set(&[&key]);
    let padded = format!("{document}{}", " ".repeat(300_000));
    let behaviours = [
        Behaviour::Away,
        Behaviour::Slow,
        Behaviour::Huge,
        Behaviour::Text(padded),
        Behaviour::Redirect(good.url.clone()),
        Behaviour::Status(500),
        Behaviour::Text("<html>".to_owned()),
        Behaviour::Text("{\"keys\": 1}".to_owned()),
        Behaviour::Text("{\"keys\": []}".to_owned()),
        Behaviour::Text("{\"keys\": [1, {}, {\"kty\": \"EC\"}]}".to_owned()),
    ];
    let mut file = IssuersFile::new();
    let mut issuers = Vec::new();
    for (number, behaviour) in behaviours.into_iter().enumerate() {
        let issuer = Issuer::start(&[&key]).await.unwrap();
        issuer.behave(behaviour);
        file = file.with(&format!("host{number}"), &issuer, "");
        issuers.push(issuer);
    }
    let auth = Auth::start_trusting(&file, &[]).await;
    let token = |number| {
        let mut claims = auth.claims("anna");
        claims["iss"] = identifier(&format!("host{number}")).into();
        key.token(&claims)
    };
    let tokens: Vec<_> = (0..issuers.len()).map(token).collect();
    for (number, answer) in
        join_all(tokens.iter().map(|token| auth.exchange(token))).await.into_iter().enumerate()
    {
        assert_eq!(refusal(answer), ErrorCode::IdentityRefused, "{number}");
    }
    assert_eq!(good.requests(), 0, "no redirect is followed");

    issuers.iter().for_each(|issuer| issuer.publish(&[&key]));
    for token in &tokens {
        eventually(async || auth.exchange(token).await.is_ok()).await;
    }
}

#[tokio::test]
async fn keys_may_be_in_a_file_that_changes() {
    let (old, new) = (Key::rsa("old").unwrap(), Key::rsa("new").unwrap());
    let file = IssuersFile::new().with_keys("host", "jwks_file = \"keys.json\"", "");
    let keys = file.path().with_file_name("keys.json");
    std::fs::write(&keys, key_set(&[&old]).to_string()).unwrap();
    let auth = Auth::start_trusting(&file, &[]).await;
    auth.exchange(&old.token(&auth.claims("anna"))).await.unwrap();
    std::fs::write(&keys, key_set(&[&new]).to_string()).unwrap();
    auth.exchange(&new.token(&auth.claims("anna"))).await.unwrap();
}

#[tokio::test]
async fn a_changed_file_of_issuers_is_used_and_a_wrong_one_is_not() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    let shop = {
        let mut claims = host.auth.claims("anna");
        claims["iss"] = identifier("shop").into();
        host.key.token(&claims)
    };
    assert_eq!(refusal(host.auth.exchange(&shop).await), ErrorCode::IdentityRefused);

    let both = IssuersFile::new().with("host", &host.issuer, "").with("shop", &host.issuer, "");
    host.file.write(both.text());
    eventually(async || host.auth.exchange(&shop).await.is_ok()).await;
    assert_eq!(host.issuer.requests(), 1, "the keys were known");

    // The file is read every two seconds.
    host.file.write("nonsense");
    tokio::time::sleep(Duration::from_secs(3)).await;
    host.auth.exchange(&shop).await.unwrap();
    host.file.write("");
    let is_refused = async || host.auth.exchange(&shop).await.is_err();
    eventually(is_refused).await;
    assert_eq!(refusal(host.auth.exchange(&host.token("anna")).await), ErrorCode::IdentityRefused);
}
