//! Which tokens are accepted: their verification, the keys for it, and the users who are locked
//! out.
//!
//! Keys and users come over a stream from auth. While auth is away, the last known state stays in
//! force.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parlance_core::{Clock, ErrorCode, Timestamp, UserId};
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{
    AccessState, GetAccessStateRequest, PublicKey, WatchAccessStateRequest,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::config::Config;

/// How many verified tokens are remembered.
const MAX_REMEMBERED: usize = 100_000;
/// The keys are asked for at most this often for the sake of tokens whose key is unknown.
const REFETCH_INTERVAL: Duration = Duration::from_secs(1);
/// The time before a lost stream is opened again, doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Who a token was issued to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    /// The user.
    pub(crate) user_id: UserId,
    /// The name at the time of issue. Names never change.
    pub(crate) username: String,
    /// When the token ends.
    pub(crate) expires_at: Timestamp,
}

/// A public key as `/.well-known/jwks.json` shows it (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    /// The 32 bytes of the key in base64url.
    x: String,
    /// The name of the key in the header of the tokens it verifies.
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TokenVerifier(Arc<Shared>);

struct Shared {
    auth: AuthServiceClient<Client>,
    clock: Clock,
    validation: Validation,
    /// The keys by `kid`; none until auth was heard of for the first time.
    keys: watch::Sender<Option<Arc<Keys>>>,
    inactive: watch::Sender<Arc<HashSet<UserId>>>,
    verified: VerifiedByToken,
    /// The last time the keys were asked for. Its lock is held while asking, so that everybody
    /// waits for the same answer.
    last_refetch: Mutex<Option<Refetch>>,
}

type Keys = BTreeMap<String, Key>;

/// Only tokens that have been verified are in it, so nobody can fill it with ones whose hashes are
/// the same.
type VerifiedByToken = Cache<Box<str>, Verified, UnitWeighter, foldhash::quality::RandomState>;

#[derive(Clone)]
struct Key {
    decoding: DecodingKey,
    jwk: Jwk,
}

#[derive(Clone)]
struct Verified {
    session: Arc<Identity>,
    kid: Arc<str>,
}

struct Refetch {
    at: Instant,
    outcome: Result<(), ErrorCode>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    username: String,
    exp: i64,
}

impl TokenVerifier {
    /// Begins to watch the state at auth.
    pub(crate) fn start(
        auth: AuthServiceClient<Client>,
        config: &Config,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> Self {
        let access = Self(Arc::new(Shared {
            auth,
            clock,
            validation: validation(&config.token_issuer, &config.token_audience),
            keys: watch::Sender::new(None),
            inactive: watch::Sender::default(),
            verified: cache(),
            last_refetch: Mutex::new(None),
        }));
        lifecycle.spawn_task("access state", access.clone().watch_forever());
        access
    }

    /// The session of a token. Errors: `invalid_token`, `inactive_user`, and `unavailable` when it
    /// takes a key that auth cannot be asked for.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        let session = self.verify(token).await?;
        if self.is_inactive(session.user_id) {
            return Err(ErrorCode::InactiveUser);
        }
        Ok(session)
    }

    /// Whether the tokens of this user are refused.
    pub(crate) fn is_inactive(&self, user_id: UserId) -> bool {
        self.0.inactive.borrow().contains(&user_id)
    }

    /// The users whose tokens are refused, now and whenever that changes.
    pub(crate) fn inactive_users(&self) -> watch::Receiver<Arc<HashSet<UserId>>> {
        self.0.inactive.subscribe()
    }

    /// Resolves as soon as it is known which tokens to accept.
    pub(crate) async fn wait_for_first_state(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.keys.subscribe().wait_for(Option::is_some).await;
    }

    /// The public keys, or `None` when auth has not been heard of yet.
    pub(crate) fn jwks(&self) -> Option<Vec<Jwk>> {
        let keys = self.0.keys.borrow().clone()?;
        Some(keys.values().map(|key| key.jwk.clone()).collect())
    }

    async fn verify(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        if let Some(verified) = self.0.verified.get(token)
            && self.is_in_force(&verified)
        {
            return Ok(verified.session);
        }
        let kid = kid_of(token)?;
        let key = self.key(&kid).await?;
        let session = Arc::new(self.decode(token, &key)?);
        self.0
            .verified
            .insert(token.into(), Verified { session: session.clone(), kid: kid.into() });
        Ok(session)
    }

    fn is_in_force(&self, verified: &Verified) -> bool {
        verified.session.expires_at > self.0.clock.now() && self.knows_key(&verified.kid)
    }

    fn decode(&self, token: &str, key: &Key) -> Result<Identity, ErrorCode> {
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.0.validation)
            .map_err(|_| ErrorCode::InvalidToken)?
            .claims;
        let expires_at = claims.exp.checked_mul(1_000_000).map(Timestamp::from_micros);
        let expires_at =
            expires_at.filter(|&end| end > self.0.clock.now()).ok_or(ErrorCode::InvalidToken)?;
        let user_id =
            claims.sub.parse().ok().filter(|&id: &i64| id > 0).ok_or(ErrorCode::InvalidToken)?;
        Ok(Identity { user_id: UserId::new(user_id), username: claims.username, expires_at })
    }

    async fn key(&self, kid: &str) -> Result<Key, ErrorCode> {
        if let Some(key) = self.known_key(kid) {
            return Ok(key);
        }
        self.refetch_keys().await?;
        self.known_key(kid).ok_or(ErrorCode::InvalidToken)
    }

    fn knows_key(&self, kid: &str) -> bool {
        self.0.keys.borrow().as_ref().is_some_and(|keys| keys.contains_key(kid))
    }

    fn known_key(&self, kid: &str) -> Option<Key> {
        self.0.keys.borrow().as_ref()?.get(kid).cloned()
    }

    /// Asks for the keys, unless that was done within the last second: then the outcome is that of
    /// then.
    async fn refetch_keys(&self) -> Result<(), ErrorCode> {
        let mut last = self.0.last_refetch.lock().await;
        if let Some(refetch) =
            last.as_ref().filter(|refetch| refetch.at.elapsed() < REFETCH_INTERVAL)
        {
            return refetch.outcome;
        }
        // Should this request be given up while it asks, that counts, too.
        *last = Some(Refetch { at: Instant::now(), outcome: Err(ErrorCode::Unavailable) });
        let answer = self.0.auth.clone().get_access_state(GetAccessStateRequest {}).await;
        let outcome = match answer {
            Ok(answer) => {
                self.learn_keys(answer.into_inner().state.unwrap_or_default());
                Ok(())
            }
            Err(_) => Err(ErrorCode::Unavailable),
        };
        *last = Some(Refetch { at: Instant::now(), outcome });
        outcome
    }

    /// Adds what was asked for. The answer may be older than what the stream has brought meanwhile,
    /// so it takes nothing away.
    fn learn_keys(&self, state: AccessState) {
        if self.0.keys.borrow().is_none() {
            self.apply(state);
            return;
        }
        self.0.keys.send_modify(|keys| {
            let mut merged = keys.as_deref().cloned().unwrap_or_default();
            for (kid, key) in keys_of(state.keys) {
                merged.entry(kid).or_insert(key);
            }
            *keys = Some(Arc::new(merged));
        });
    }

    /// Puts a state in force.
    fn apply(&self, state: AccessState) {
        let inactive: HashSet<UserId> =
            state.inactive_user_ids.into_iter().map(UserId::new).collect();
        self.0.inactive.send_if_modified(|present| {
            let is_changed = **present != inactive;
            if is_changed {
                *present = Arc::new(inactive);
            }
            is_changed
        });
        self.0.keys.send_replace(Some(Arc::new(keys_of(state.keys))));
    }

    async fn watch_forever(self) -> anyhow::Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let has_heard = self.watch_once().await;
            pause = if has_heard { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
        }
    }

    /// Follows one stream to its end. Returns whether anything came.
    async fn watch_once(&self) -> bool {
        let mut has_heard = false;
        let mut stream =
            match self.0.auth.clone().watch_access_state(WatchAccessStateRequest {}).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => {
                    tracing::debug!(error = status.message(), "the access state cannot be watched");
                    return has_heard;
                }
            };
        // A connection that is dead without saying so is noticed by the pings of HTTP/2.
        while let Ok(Some(message)) = stream.message().await {
            self.apply(message.state.unwrap_or_default());
            has_heard = true;
        }
        tracing::info!("the stream of the access state has ended, the last state stays in force");
        has_heard
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("remembered", &self.verified.len())
            .finish_non_exhaustive()
    }
}

/// What a token must be. Its end is compared with our own clock, not by the library.
fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.leeway = 0;
    validation
}

/// The name of the key in the header of a token of the one kind we accept.
fn kid_of(token: &str) -> Result<String, ErrorCode> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| ErrorCode::InvalidToken)?;
    header.kid.filter(|_| header.alg == Algorithm::EdDSA).ok_or(ErrorCode::InvalidToken)
}

fn keys_of(keys: Vec<PublicKey>) -> Keys {
    keys.into_iter().map(|key| (key.kid.clone(), Key::from(key))).collect()
}

impl From<PublicKey> for Key {
    fn from(key: PublicKey) -> Self {
        let jwk = Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: BASE64_URL_SAFE_NO_PAD.encode(&key.ed25519),
            kid: key.kid,
            usage: "sig",
            alg: "EdDSA",
        };
        Self { decoding: DecodingKey::from_ed_der(&key.ed25519), jwk }
    }
}

fn cache() -> VerifiedByToken {
    let capacity = MAX_REMEMBERED as u64;
    Cache::with(
        MAX_REMEMBERED,
        capacity,
        UnitWeighter,
        Default::default(),
        DefaultLifecycle::default(),
    )
}

#[cfg(test)]
mod tests;
