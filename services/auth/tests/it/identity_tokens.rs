//! Which tokens of issuers are accepted.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlance_core::ErrorCode;
use parlance_testkit::issuer::{Issuer, Key, encode, unsigned};
use serde_json::{Value, json};

use crate::app::{Auth, refusal};
use crate::issuers::{IssuersFile, Trusting};

/// A change of right claims that makes them wrong, or not.
type Change = fn(&mut Value, i64);

#[tokio::test]
async fn tokens_of_each_algorithm_are_accepted() {
    let (rsa, p256, ed25519) =
        (Key::rsa("r").unwrap(), Key::p256("p").unwrap(), Key::ed25519("e").unwrap());
    let issuer = Issuer::start(&[&rsa, &p256, &ed25519]).await.unwrap();
    let file = IssuersFile::new().with("host", &issuer, "");
    let auth = Auth::start_trusting(&file, &[]).await;
    for (key, algorithm) in
        [(&rsa, "RS256"), (&rsa, "PS256"), (&p256, "ES256"), (&ed25519, "EdDSA")]
    {
        let header = json!({"alg": algorithm, "kid": key.kid});
        let token = key.token_with(&header, &auth.claims("anna"));
        let answer = auth.exchange(&token).await;
        assert!(answer.is_ok(), "{algorithm}: {answer:?}");
        assert_eq!(refusal(auth.exchange(&damaged(&token)).await), ErrorCode::IdentityRefused);
    }
}

/// Another character in the middle of the signature.
fn damaged(token: &str) -> String {
    let mut letters: Vec<char> = token.chars().collect();
    let middle = letters.len() - 40;
    letters[middle] = if letters[middle] == 'A' { 'B' } else { 'A' };
    letters.into_iter().collect()
}

#[tokio::test]
async fn claims_are_checked_with_a_minute_of_skew() {
    let accepted: [(&str, Change); 7] = [
        ("a list of audiences", |it, _| it["aud"] = json!(["other", "parlance"])),
        ("just expired", |it, now| it["exp"] = (now - 59).into()),
        ("valid in a moment", |it, now| it["nbf"] = (now + 60).into()),
        ("issued a moment ahead", |it, now| it["iat"] = (now + 60).into()),
        ("fractions of a second", |it, now| it["exp"] = json!(now as f64 + 0.5)),
        ("no iat", |it, _| drop(it.as_object_mut().unwrap().remove("iat"))),
        ("the longest subject", |it, _| it["sub"] = "s".repeat(255).into()),
    ];
    let refused: [(&str, Change); 21] = [
        ("another audience", |it, _| it["aud"] = "other".into()),
        ("no audience", |it, _| drop(it.as_object_mut().unwrap().remove("aud"))),
        ("an empty list of audiences", |it, _| it["aud"] = json!([])),
        ("an audience in another case", |it, _| it["aud"] = "PARLANCE".into()),
        ("another issuer", |it, _| it["iss"] = "https://other.example".into()),
        ("an issuer with a slash", |it, _| it["iss"] = "https://host.example/".into()),
        ("a list of issuers", |it, _| it["iss"] = json!(["https://host.example"])),
        ("no issuer", |it, _| drop(it.as_object_mut().unwrap().remove("iss"))),
        ("expired", |it, now| it["exp"] = (now - 60).into()),
        ("no expiry", |it, _| drop(it.as_object_mut().unwrap().remove("exp"))),
        ("a text as expiry", |it, now| it["exp"] = (now + 300).to_string().into()),
        ("null as expiry", |it, _| it["exp"] = Value::Null),
        ("not valid yet", |it, now| it["nbf"] = (now + 61).into()),
        ("a text as nbf", |it, _| it["nbf"] = "0".into()),
        ("issued in the future", |it, now| it["iat"] = (now + 61).into()),
        ("no subject", |it, _| drop(it.as_object_mut().unwrap().remove("sub"))),
        ("an empty subject", |it, _| it["sub"] = "".into()),
        ("a number as subject", |it, _| it["sub"] = 7.into()),
        ("a subject that is too long", |it, _| it["sub"] = "s".repeat(256).into()),
        ("a subject with NUL", |it, _| it["sub"] = "anna\0".into()),
        ("a huge token", |it, _| it["more"] = "m".repeat(20_000).into()),
    ];
    let host = Trusting::start("").await;
    let exchange = async |change: Change| {
        let mut claims = host.auth.claims("anna");
        change(&mut claims, host.auth.clock.now().as_seconds());
        host.auth.exchange_as(&host.key.token(&claims), Some(&fresh_name()), false).await
    };
    for (case, change) in accepted {
        let answer = exchange(change).await;
        assert!(answer.is_ok(), "{case}: {answer:?}");
    }
    for (case, change) in refused {
        assert_eq!(refusal(exchange(change).await), ErrorCode::IdentityRefused, "{case}");
    }
}

fn fresh_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (rsa, p256) = (Key::rsa("r").unwrap(), Key::p256("p").unwrap());
    let (encryption, foreign) = (Key::p256("enc").unwrap(), Key::p256("p").unwrap());
    let issuer = Issuer::start(&[&rsa, &p256]).await.unwrap();
    let mut published = parlance_testkit::issuer::key_set(&[&rsa, &p256, &encryption]);
    published["keys"][2]["use"] = "enc".into();
    published["keys"].as_array_mut().unwrap().push(json!({"kty": "oct", "kid": "o", "k": "AAAA"}));
    issuer.behave(parlance_testkit::issuer::Behaviour::Document(published));
    let file = IssuersFile::new().with("host", &issuer, "");
    let auth = Auth::start_trusting(&file, &[]).await;
    let claims = auth.claims("anna");
    auth.exchange(&rsa.token(&claims)).await.unwrap();

    let none = json!({"alg": "none", "kid": "p"});
    let confused = hmac(&claims, "r", rsa.public_bytes());
    let right = p256.token(&claims);
    let (signed, _) = right.rsplit_once('.').unwrap();
    let cases = [
        ("alg none", format!("{}.", unsigned(&none, &claims))),
        ("alg none with a signature", p256.token_with(&none, &claims)),
        ("alg None", p256.token_with(&json!({"alg": "None", "kid": "p"}), &claims)),
        ("HS256 with the public key", confused),
        ("HS256 with a published secret", hmac(&claims, "o", &[0, 0, 0])),
        ("a key of somebody else", foreign.token(&claims)),
        ("a key for encryption", encryption.token(&claims)),
        ("no kid", p256.token_with(&json!({"alg": "ES256"}), &claims)),
        ("a kid that is no text", p256.token_with(&json!({"alg": "ES256", "kid": 1}), &claims)),
        ("the kid of another key", p256.token_with(&json!({"alg": "ES256", "kid": "r"}), &claims)),
        (
            "an algorithm of another key",
            rsa.token_with(&json!({"alg": "RS256", "kid": "p"}), &claims),
        ),
        (
            "an algorithm that is not configured",
            rsa.token_with(&json!({"alg": "RS512", "kid": "r"}), &claims),
        ),
        (
            "a critical header",
            p256.token_with(
                &json!({"alg": "ES256", "kid": "p", "crit": ["b64"], "b64": true}),
                &claims,
            ),
        ),
        (
            "a key in the header",
            foreign.token_with(&json!({"alg": "ES256", "kid": "x", "jwk": foreign.jwk()}), &claims),
        ),
        ("no signature", signed.to_owned()),
        ("an empty signature", format!("{signed}.")),
        (
            "other claims",
            format!(
                "{}.{}",
                unsigned(&json!({"alg": "ES256", "kid": "p"}), &auth.claims("berta")),
                right.rsplit('.').next().unwrap()
            ),
        ),
        ("four parts", format!("{right}.x")),
        ("claims that are a list", p256.token(&json!([claims]))),
        ("no base64", "a.b.c".to_owned()),
        ("JSON that is no object", format!("{0}.{0}.{0}", encode("1"))),
        ("nothing", String::new()),
        ("text", "ein Jeton".to_owned()),
    ];
    for (case, token) in cases {
        assert_eq!(refusal(auth.exchange(&token).await), ErrorCode::IdentityRefused, "{case}");
    }
}

/// A token signed with a secret, which everybody could make who knows it.
fn hmac(claims: &Value, kid: &str, secret: &[u8]) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

#[tokio::test]
async fn the_subject_and_the_name_may_be_in_other_claims() {
    let host = Trusting::start("subject_claim = \"employee\"\nusername_claim = \"nickname\"").await;
    let mut claims = host.auth.claims("anna");
    claims["employee"] = "E-1".into();
    claims["nickname"] = "Annie".into();
    let answer = host.auth.exchange(&host.key.token(&claims)).await.unwrap();
    assert_eq!(answer.user.unwrap().username, "Annie");
    let subject = "SELECT count(*) FROM auth.identities WHERE subject = 'E-1'";
    assert_eq!(host.auth.count(subject).await, 1);
}
