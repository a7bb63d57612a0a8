//! The tests sign tokens as auth does. No auth service is reachable.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use clap::Parser;
use jsonwebtoken::{EncodingKey, Header};
use parlance_runtime::grpc::{ClientConfig, Credential};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const ISSUED: i64 = NOW.as_seconds();

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

struct Signer {
    kid: &'static str,
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let pkcs8 = pair.to_pkcs8().unwrap().as_ref().to_vec();
        Self { kid, pkcs8, public: pair.public_key().as_ref().to_vec() }
    }

    fn state(&self, inactive_user_ids: &[i64]) -> AccessState {
        let keys = vec![PublicKey { kid: self.kid.to_owned(), ed25519: self.public.clone() }];
        AccessState { keys, inactive_user_ids: inactive_user_ids.to_vec() }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&self.pkcs8)).unwrap()
    }
}

fn claims() -> Value {
    json!({
        "iss": "parlance", "aud": "parlance", "sub": "7", "username": "ann", "jti": "1",
        "iat": ISSUED, "exp": ISSUED + 60,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A verifier without a state, whose auth service is unreachable.
fn verifier_at(clock: Clock) -> TokenVerifier {
    let (lifecycle, _) = Lifecycle::new(Duration::from_secs(1));
    let config = Cli::parse_from(["gateway", "--internal-token", "0123456789abcdef"]).config;
    let client = ClientConfig {
        service: "auth",
        addresses: "127.0.0.1:1".to_owned(),
        credential: Credential::start(&config.credential, &lifecycle).unwrap(),
        deadline: Duration::from_secs(1),
    };
    let auth = AuthServiceClient::new(Client::start(client, &lifecycle).unwrap());
    TokenVerifier::start(auth, &config, clock, &lifecycle)
}

#[tokio::test]
async fn a_good_token_names_its_user() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.apply(signer.state(&[]));
    let identity = verifier.authenticate(&signer.sign(&claims())).await.unwrap();
    let expires_at = Timestamp::from_micros((ISSUED + 60) * 1_000_000);
    assert_eq!(
        *identity,
        Identity { user_id: UserId::new(7), username: "ann".to_owned(), expires_at }
    );
}

#[tokio::test]
async fn every_claim_is_checked() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.apply(signer.state(&[]));
    let bad = [
        with("iss", json!("another issuer")),
        with("iss", Value::Null),
        with("aud", json!("others")),
        with("aud", Value::Null),
        with("sub", json!("ann")),
        with("sub", json!("0")),
        with("sub", json!("-7")),
        with("sub", json!(7)),
        with("exp", json!(ISSUED)),
        with("exp", json!(ISSUED - 1)),
        with("exp", json!(i64::MAX)),
        with("exp", json!("never")),
        with("exp", Value::Null),
        with("username", Value::Null),
    ];
    for claims in bad {
        let result = verifier.authenticate(&signer.sign(&claims)).await;
        assert_eq!(result, Err(ErrorCode::InvalidToken), "{claims}");
    }
}

#[tokio::test]
async fn damaged_and_foreign_tokens_are_invalid() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.apply(signer.state(&[]));
    let good = signer.sign(&claims());
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    let altered = format!("{}.{}.{signature}", good.split('.').next().unwrap(), signature);
    let impostor = Signer { kid: "k1", ..Signer::new("k1") };
    for token in
        ["", "a.b.c", unsigned, &format!("{unsigned}."), &altered, &impostor.sign(&claims())]
    {
        assert_eq!(verifier.authenticate(token).await, Err(ErrorCode::InvalidToken), "{token}");
    }
}

#[tokio::test]
async fn the_algorithm_is_not_read_from_the_token() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.apply(signer.state(&[]));
    // Signed with the public key as if it were a shared secret.
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
    let forged =
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&signer.public))
            .unwrap();
    let none =
        format!("{}.{}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#), "e30");
    for token in [forged, none] {
        assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::InvalidToken));
    }
}

#[tokio::test]
async fn a_cached_token_ends_when_it_expires() {
    let clock = Clock::manual(NOW);
    let (signer, verifier) = (Signer::new("k1"), verifier_at(clock.clone()));
    verifier.apply(signer.state(&[]));
    let token = signer.sign(&claims());
    clock.advance(Duration::from_secs(59));
    assert!(verifier.authenticate(&token).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::InvalidToken));
}

#[tokio::test]
async fn a_cached_token_ends_when_its_user_becomes_inactive() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.apply(signer.state(&[]));
    let token = signer.sign(&claims());
    assert!(verifier.authenticate(&token).await.is_ok());
    verifier.apply(signer.state(&[7]));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::InactiveUser));
    verifier.apply(signer.state(&[]));
    assert!(verifier.authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn a_cached_token_ends_with_its_key() {
    let (old, new, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    verifier.apply(old.state(&[]));
    let token = old.sign(&claims());
    assert!(verifier.authenticate(&token).await.is_ok());
    verifier.apply(new.state(&[]));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::Unavailable));
}

#[tokio::test]
async fn a_token_with_an_unknown_key_is_unavailable_while_auth_is_away() {
    let (signer, other, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    assert_eq!(verifier.authenticate(&signer.sign(&claims())).await, Err(ErrorCode::Unavailable));
    verifier.apply(signer.state(&[]));
    assert_eq!(verifier.authenticate(&other.sign(&claims())).await, Err(ErrorCode::Unavailable));
    assert!(verifier.authenticate(&signer.sign(&claims())).await.is_ok());
}

#[tokio::test]
async fn a_fetched_state_removes_no_key() {
    let (old, new, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    verifier.apply(new.state(&[7]));
    verifier.add_keys(old.state(&[]));
    assert!(verifier.known_key("k1").is_some() && verifier.known_key("k2").is_some());
    assert!(verifier.is_inactive(UserId::new(7)));
}

#[tokio::test]
async fn a_change_of_the_inactive_users_is_sent_once() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    let mut inactive = verifier.inactive_users();
    verifier.apply(signer.state(&[7]));
    assert!(inactive.has_changed().unwrap());
    assert!(inactive.borrow_and_update().contains(&UserId::new(7)));
    verifier.apply(signer.state(&[7]));
    assert!(!inactive.has_changed().unwrap());
}
