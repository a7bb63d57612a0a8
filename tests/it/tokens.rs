//! Tokens: their claims, which ones are accepted, and deactivated users.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlance_client::endpoints;
use parlance_devstack::Stack;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, PASSWORD, Person, assert_members, auth_command, eventually, make_room, people,
    person, stack,
};

/// An Ed25519 key in PKCS #8 (RFC 8410), up to its 32 secret bytes.
const PKCS8_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

fn decode_header(token: &str) -> Value {
    decoded(token.split('.').next().unwrap())
}

fn decode_claims(token: &str) -> Value {
    decoded(token.split('.').nth(1).unwrap())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

fn encoded(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// Replaces one of the three parts of a token.
fn with_part(token: &str, index: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[index] = part;
    parts.join(".")
}

/// Calls `/v1/auth/me` with a token.
async fn me(stack: &Stack, gateway: usize, token: &str) -> Answer {
    Api::at(stack, gateway).send(endpoints::me(token)).await
}

async fn is_inactive(stack: &Stack, gateway: usize, person: &Person) -> bool {
    me(stack, gateway, &person.token).await.text.contains("inactive_user")
}

async fn log_in(person: &Person) -> String {
    let credentials = json!({"username": person.name, "password": PASSWORD});
    let login = person.api.post("/v1/auth/login", &credentials).await.ok(200);
    login["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_has_the_documented_claims() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (header, claims) = (decode_header(&anna.token), decode_claims(&anna.token));
    assert_members(&header, &["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    assert_members(&claims, &["iss", "aud", "sub", "username", "sid", "iat", "exp", "jti"]);
    assert_eq!(claims["sub"], anna.id.to_string());
    assert_eq!(claims["username"], anna.name);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 691_200);
    assert_ne!(claims["jti"], decode_claims(&log_in(&anna).await)["jti"]);
}

#[tokio::test]
async fn the_key_of_a_token_is_published() {
    let stack = stack().await;
    let anna = person(stack).await;
    for gateway in [0, 1] {
        let answer = Api::at(stack, gateway).get("/.well-known/jwks.json").await.ok(200);
        let keys = answer["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == decode_header(&anna.token)["kid"]).unwrap();
        assert_members(key, &["kty", "crv", "x", "kid", "use", "alg"]);
        assert_eq!(BASE64.decode(key["x"].as_str().unwrap()).unwrap().len(), 32);
    }
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let mut claims = decode_claims(&anna.token);
    claims["sub"] = json!(ben.id.to_string());
    let signature_of_ben = ben.token.rsplit('.').next().unwrap();
    let mut longer = decode_claims(&anna.token);
    longer["exp"] = json!(longer["exp"].as_i64().unwrap() + 1);
    for token in [
        with_part(&anna.token, 1, &encoded(&claims)),
        with_part(&anna.token, 1, &encoded(&longer)),
        with_part(&anna.token, 2, signature_of_ben),
        with_part(&anna.token, 2, ""),
        anna.token[..anna.token.len() - 2].to_owned(),
        format!("{}.x", anna.token),
        "abc".to_owned(),
        "..".to_owned(),
        "a".repeat(5000),
    ] {
        me(stack, 0, &token).await.refused(401, "invalid_token");
    }
    me(stack, 0, &anna.token).await.ok(200);
}

#[tokio::test]
async fn the_algorithm_is_not_read_from_the_token() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (header, claims) = (decode_header(&anna.token), decode_claims(&anna.token));
    for algorithm in ["none", "None", "HS256", "RS256", "ES256", "eddsa"] {
        let forged_header = json!({"alg": algorithm, "typ": "JWT", "kid": header["kid"]});
        let token = with_part(&anna.token, 0, &encoded(&forged_header));
        me(stack, 0, &token).await.refused(401, "invalid_token");
        me(stack, 0, &with_part(&token, 2, "")).await.refused(401, "invalid_token");
    }

    // Signs with HMAC and the public key as the secret.
    let keys = anna.get("/.well-known/jwks.json").await.ok(200);
    for key in keys["keys"].as_array().unwrap() {
        let secret = EncodingKey::from_secret(&BASE64.decode(key["x"].as_str().unwrap()).unwrap());
        let kid = key["kid"].as_str().map(str::to_owned);
        let forged_header = Header { kid, ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&forged_header, &claims, &secret).unwrap();
        me(stack, 0, &token).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_token_of_another_key_is_refused_with_any_kid() {
    let stack = stack().await;
    let anna = person(stack).await;
    let own_key = EncodingKey::from_ed_der(&[PKCS8_PREFIX.as_slice(), &[7; 32]].concat());
    let known = decode_header(&anna.token)["kid"].as_str().map(str::to_owned);
    for kid in [known, Some("unknown".to_owned()), Some(String::new()), None] {
        let header = Header { kid, ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &decode_claims(&anna.token), &own_key).unwrap();
        me(stack, 0, &token).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let stack =
        Stack::builder().environment("auth", "ACCESS_TOKEN_TTL", "1").start().await.unwrap();
    let anna = person(&stack).await;
    let claims = decode_claims(&anna.token);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 1);
    let is_refused = async || me(&stack, 0, &anna.token).await.status == 401;
    eventually(Duration::from_secs(5), "the token expires", is_refused).await;
    me(&stack, 0, &anna.token).await.refused(401, "token_expired");
}

#[tokio::test]
async fn tokens_of_another_issuer_or_audience_are_refused() {
    for setting in ["TOKEN_ISSUER", "TOKEN_AUDIENCE"] {
        let stack = Stack::builder()
            .environment("gateway", setting, "somewhere-else")
            .start()
            .await
            .unwrap();
        let anna = person(&stack).await;
        me(&stack, 0, &anna.token).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn key_rotation_keeps_tokens_valid() {
    let stack = Stack::builder().replicas(2).gateways(2).start().await.unwrap();
    let anna = person(&stack).await;
    let old_key = decode_header(&anna.token)["kid"].clone();
    auth_command(&stack, &["rotate-keys"], &[("KEY_PUBLICATION_LEAD", "1")]).await;

    let signs_with_new_key = async || {
        let token = log_in(&anna).await;
        for gateway in [0, 1] {
            me(&stack, gateway, &token).await.ok(200);
            me(&stack, gateway, &anna.token).await.ok(200);
        }
        decode_header(&token)["kid"] != old_key
    };
    eventually(Duration::from_secs(10), "the new key signs", signs_with_new_key).await;
    let published = anna.get("/.well-known/jwks.json").await.ok(200);
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn rotating_at_once_invalidates_tokens_of_the_old_key() {
    let stack = Stack::builder().replicas(2).gateways(2).start().await.unwrap();
    let anna = person(&stack).await;
    let at_once = [("KEY_PUBLICATION_LEAD", "1"), ("ACCESS_TOKEN_TTL", "1")];
    auth_command(&stack, &["rotate-keys"], &at_once).await;
    for gateway in [0, 1] {
        let ends = async || me(&stack, gateway, &anna.token).await.status == 401;
        eventually(Duration::from_secs(10), "the old token ends", ends).await;
        me(&stack, gateway, &log_in(&anna).await).await.ok(200);
    }
}

#[tokio::test]
async fn a_deactivated_user_is_locked_out_everywhere_within_two_seconds() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    auth_command(stack, &["deactivate", &anna.name.to_uppercase()], &[]).await;
    for gateway in [0, 1] {
        let is_out = async || is_inactive(stack, gateway, &anna).await;
        eventually(Duration::from_secs(2), "the token is refused", is_out).await;
        let anna = anna.at(stack, gateway);
        anna.get("/v1/rooms").await.refused(401, "inactive_user");
        anna.post("/v1/contacts/invite", &json!({"username": ben.name}))
            .await
            .refused(401, "inactive_user");
    }
}

#[tokio::test]
async fn a_deactivated_user_cannot_be_invited() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    auth_command(stack, &["deactivate", &anna.name], &[]).await;
    let invitation = json!({"username": anna.name});
    for gateway in [0, 1] {
        ben.at(stack, gateway)
            .post("/v1/contacts/invite", &invitation)
            .await
            .refused(404, "user_not_found");
    }
}

#[tokio::test]
async fn the_login_of_a_deactivated_user_fails_like_any_other() {
    let stack = stack().await;
    let anna = person(stack).await;
    let log_in = async |password: &str| {
        anna.api.post("/v1/auth/login", &json!({"username": anna.name, "password": password})).await
    };
    let wrong = log_in("wrong password").await;
    auth_command(stack, &["deactivate", &anna.name], &[]).await;
    let inactive = log_in(PASSWORD).await;
    assert_eq!((inactive.status, &inactive.text), (wrong.status, &wrong.text));
    inactive.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn users_show_whether_they_are_active() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    anna.send_message(room, "Hello").await;
    for (command, expected) in [("none", true), ("deactivate", false), ("activate", true)] {
        if command != "none" {
            auth_command(stack, &[command, &anna.name], &[]).await;
        }
        for gateway in [0, 1] {
            let ben = ben.at(stack, gateway);
            let is_seen = async || {
                let contacts = ben.get("/v1/contacts").await.ok(200);
                let history = ben.history(room).await;
                contacts["contacts"][0]["other_user"]["is_active"] == expected
                    && history[0]["sender"]["is_active"] == expected
            };
            eventually(Duration::from_secs(2), command, is_seen).await;
        }
    }
    // A gateway may read the user from auth before it is notified that the user is active again.
    // The old tokens have ended for good.
    let is_active = async || !is_inactive(stack, 1, &anna).await;
    eventually(Duration::from_secs(2), "the user is active", is_active).await;
    me(stack, 1, &anna.token).await.refused(401, "session_revoked");
    me(stack, 1, &log_in(&anna).await).await.ok(200);
}
