//! The tests sign tokens as auth does. No auth service is reachable.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Parser;
use jsonwebtoken::{EncodingKey, Header};
use parlance_proto::auth::ended_access::Tokens;
use parlance_proto::auth::{EndedAccess, PublicKey};
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

    /// Signs with the `typ` that belongs to the claims.
    fn sign(&self, claims: &Value) -> String {
        let has_session = claims.get("sid").is_some();
        self.sign_as(Some(if has_session { "at+jwt" } else { "JWT" }), claims)
    }

    fn sign_as(&self, typ: Option<&str>, claims: &Value) -> String {
        let (typ, kid) = (typ.map(str::to_owned), Some(self.kid.to_owned()));
        let header = Header { typ, kid, ..Header::new(Algorithm::EdDSA) };
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

/// Brings a state with nothing that has ended, as a new stream does.
fn bring(verifier: &TokenVerifier, state: AccessState) {
    verifier.replace(state, Ended::default());
}

/// Brings an end on a stream that is open.
fn end(verifier: &TokenVerifier, tokens: Tokens) {
    let ended = vec![EndedAccess { tokens: Some(tokens), expires_at_s: ISSUED + 60 }];
    verifier.apply(WatchAccessStateResponse { ended, is_complete: true, ..Default::default() });
}

fn with_session() -> Value {
    with("sid", json!("5"))
}

#[tokio::test]
async fn a_good_token_names_its_user_and_its_session() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
    for (claims, session_id) in [(claims(), None), (with_session(), Some(SessionId::new(5)))] {
        let identity = verifier.authenticate(&signer.sign(&claims)).await.unwrap();
        let expires_at = Timestamp::from_micros((ISSUED + 60) * 1_000_000);
        let (id, kid) = ("1".into(), "k1".into());
        let token = Token { session_id, id, issued_at_s: ISSUED, expires_at, kid };
        let expected = Identity { user_id: UserId::new(7), username: "ann".to_owned(), token };
        assert_eq!(*identity, expected);
    }
}

#[tokio::test]
async fn the_type_of_a_token_tells_whether_it_has_a_session() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
    let is_accepted = async |typ, claims: &Value| {
        let result = verifier.authenticate(&signer.sign_as(typ, claims)).await;
        assert!(result.is_ok() || result == Err(ErrorCode::InvalidToken));
        result.is_ok()
    };
    for (typ, without_session, session) in [
        (None, true, false),
        (Some("JWT"), true, false),
        (Some("at+jwt"), false, true),
        (Some("logout+jwt"), false, false),
        (Some(""), false, false),
    ] {
        assert_eq!(is_accepted(typ, &claims()).await, without_session, "{typ:?}");
        assert_eq!(is_accepted(typ, &with_session()).await, session, "{typ:?}");
    }
}

#[tokio::test]
async fn every_claim_is_checked() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
    let bad = [
        with("iss", json!("another issuer")),
        with("iss", Value::Null),
        with("aud", json!("others")),
        with("aud", Value::Null),
        with("sub", json!("ann")),
        with("sub", json!("0")),
        with("sub", json!("-7")),
        with("sub", json!(7)),
        with("exp", json!(i64::MAX)),
        with("exp", json!("never")),
        with("exp", Value::Null),
        with("username", Value::Null),
        with("jti", Value::Null),
        with("iat", Value::Null),
        with("sid", json!("0")),
        with("sid", json!("first")),
        with("sid", json!(5)),
    ];
    for claims in bad {
        let result = verifier.authenticate(&signer.sign(&claims)).await;
        assert_eq!(result, Err(ErrorCode::InvalidToken), "{claims}");
    }
}

#[tokio::test]
async fn damaged_and_foreign_tokens_are_invalid() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
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
    bring(&verifier, signer.state(&[]));
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
    bring(&verifier, signer.state(&[]));
    let token = signer.sign(&claims());
    clock.advance(Duration::from_secs(59));
    assert!(verifier.authenticate(&token).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::TokenExpired));
    let new_verifier = verifier_at(clock);
    bring(&new_verifier, signer.state(&[]));
    assert_eq!(new_verifier.authenticate(&token).await, Err(ErrorCode::TokenExpired));
}

#[tokio::test]
async fn a_cached_token_ends_when_its_user_becomes_inactive() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
    let token = signer.sign(&claims());
    assert!(verifier.authenticate(&token).await.is_ok());
    bring(&verifier, signer.state(&[7]));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::InactiveUser));
    bring(&verifier, signer.state(&[]));
    assert!(verifier.authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn a_cached_token_ends_with_its_key() {
    let (old, new, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, old.state(&[]));
    let token = old.sign(&claims());
    assert!(verifier.authenticate(&token).await.is_ok());
    bring(&verifier, new.state(&[]));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::Unavailable));
}

#[tokio::test]
async fn a_token_with_an_unknown_key_is_unavailable_while_auth_is_away() {
    let (signer, other, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    assert_eq!(verifier.authenticate(&signer.sign(&claims())).await, Err(ErrorCode::Unavailable));
    bring(&verifier, signer.state(&[]));
    assert_eq!(verifier.authenticate(&other.sign(&claims())).await, Err(ErrorCode::Unavailable));
    assert!(verifier.authenticate(&signer.sign(&claims())).await.is_ok());
}

#[tokio::test]
async fn a_fetched_state_removes_no_key() {
    let (old, new, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, new.state(&[7]));
    verifier.change(|access| access.add_keys(old.state(&[]).keys));
    assert!(verifier.known_key("k1").is_some() && verifier.known_key("k2").is_some());
    assert!(verifier.access().inactive().contains(&UserId::new(7)));
}

#[tokio::test]
async fn a_fetched_state_brings_no_withdrawn_key_back() {
    let (old, new, verifier) =
        (Signer::new("k1"), Signer::new("k2"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, old.state(&[]));
    bring(&verifier, new.state(&[]));
    verifier.change(|access| access.add_keys(old.state(&[]).keys));
    assert!(verifier.known_key("k1").is_none() && verifier.known_key("k2").is_some());
}

#[tokio::test]
async fn a_fetched_state_without_a_stream_lets_nobody_in() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    verifier.change(|access| access.add_keys(signer.state(&[]).keys));
    let result = verifier.authenticate(&signer.sign(&claims())).await;
    assert_eq!(result, Err(ErrorCode::Unavailable));
    assert!(verifier.jwks().is_none());
}

#[tokio::test]
async fn a_cached_token_ends_with_its_session() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[]));
    let token = signer.sign(&with_session());
    assert!(verifier.authenticate(&token).await.is_ok());
    end(&verifier, Tokens::SessionId(6));
    assert!(verifier.authenticate(&token).await.is_ok());
    end(&verifier, Tokens::SessionId(5));
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::SessionRevoked));
    assert!(verifier.authenticate(&signer.sign(&claims())).await.is_ok());
}

#[tokio::test]
async fn an_inactive_user_is_told_so_before_its_session_is() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    bring(&verifier, signer.state(&[7]));
    end(&verifier, Tokens::SessionId(5));
    let token = signer.sign(&with_session());
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::InactiveUser));
    let state = Some(signer.state(&[]));
    verifier.apply(WatchAccessStateResponse { state, is_complete: true, ..Default::default() });
    assert_eq!(verifier.authenticate(&token).await, Err(ErrorCode::SessionRevoked));
}

#[tokio::test]
async fn an_open_socket_of_a_withdrawn_key_is_revoked_unless_its_token_is_about_to_expire() {
    let clock = Clock::manual(NOW);
    let (old, new, verifier) = (Signer::new("k1"), Signer::new("k2"), verifier_at(clock.clone()));
    bring(&verifier, old.state(&[]));
    let identity = verifier.authenticate(&old.sign(&with_session())).await.unwrap();
    bring(&verifier, new.state(&[]));
    assert_eq!(verifier.check(&identity), Err(ErrorCode::SessionRevoked));
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.check(&identity), Err(ErrorCode::TokenExpired));
}

#[tokio::test]
async fn sockets_are_looked_at_after_a_change_and_not_after_a_heartbeat() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    let mut changes = verifier.changes();
    bring(&verifier, signer.state(&[]));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    verifier.apply(WatchAccessStateResponse { is_complete: true, ..Default::default() });
    assert!(!changes.has_changed().unwrap());
    end(&verifier, Tokens::SessionId(5));
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_change_of_the_inactive_users_is_sent_once() {
    let (signer, verifier) = (Signer::new("k1"), verifier_at(Clock::manual(NOW)));
    let mut inactive = verifier.inactive_users();
    bring(&verifier, signer.state(&[7]));
    assert!(inactive.has_changed().unwrap());
    assert!(inactive.borrow_and_update().contains(&UserId::new(7)));
    bring(&verifier, signer.state(&[7]));
    assert!(!inactive.has_changed().unwrap());
}

#[tokio::test]
async fn caches_are_told_of_changed_profiles_and_first_of_a_reset() {
    let verifier = verifier_at(Clock::manual(NOW));
    let mut changed = verifier.changed_profiles();
    verifier.note_profiles(&WatchAccessStateResponse {
        changed_user_ids: vec![7, 8],
        are_profiles_reset: true,
        ..Default::default()
    });
    verifier.note_profiles(&WatchAccessStateResponse::default());
    for expected in [None, Some(7), Some(8)] {
        assert_eq!(changed.try_recv().unwrap(), expected.map(UserId::new));
    }
    assert!(changed.try_recv().is_err(), "a message without changes tells nothing");
}
