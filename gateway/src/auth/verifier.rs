//! Verifies access tokens.
//!
//! A stream from auth brings the access state: the public keys and the inactive users. While auth
//! is unreachable, the last state stays in force.

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

/// The number of verified tokens that are cached.
const MAX_CACHED: usize = 100_000;
/// The shortest time between two fetches of the keys for tokens with an unknown key.
const REFETCH_INTERVAL: Duration = Duration::from_secs(1);
/// The time before a lost stream is opened again. It doubles with each failure.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The user that a token was issued to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user_id: UserId,
    /// The username. It never changes.
    pub(crate) username: String,
    pub(crate) expires_at: Timestamp,
}

/// A public key as `/.well-known/jwks.json` shows it (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    /// The 32 bytes of the key in base64url.
    x: String,
    /// The id of the key in the header of the tokens that it verifies.
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TokenVerifier(Arc<Shared>);

struct Shared {
    auth: AuthServiceClient<Client>,
    clock: Clock,
    validation: Validation,
    /// The keys by `kid`. `None` until the first access state has arrived.
    keys: watch::Sender<Option<Arc<Keys>>>,
    inactive: watch::Sender<Arc<HashSet<UserId>>>,
    verified: VerifiedByToken,
    /// The last fetch of the keys. The lock is held during a fetch, so that all requests wait for
    /// the same one.
    last_refetch: Mutex<Option<Refetch>>,
}

type Keys = BTreeMap<String, Key>;

/// The verified tokens. Clients cannot cause collisions, because they cannot choose valid tokens.
type VerifiedByToken = Cache<Box<str>, Verified, UnitWeighter, foldhash::quality::RandomState>;

#[derive(Clone)]
struct Key {
    decoding: DecodingKey,
    jwk: Jwk,
}

#[derive(Clone)]
struct Verified {
    identity: Arc<Identity>,
    kid: Arc<str>,
}

struct Refetch {
    at: Instant,
    result: Result<(), ErrorCode>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    username: String,
    exp: i64,
}

impl TokenVerifier {
    /// Starts the task that watches the access state.
    pub(crate) fn start(
        auth: AuthServiceClient<Client>,
        config: &Config,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> Self {
        let verifier = Self(Arc::new(Shared {
            auth,
            clock,
            validation: validation(&config.token_issuer, &config.token_audience),
            keys: watch::Sender::new(None),
            inactive: watch::Sender::default(),
            verified: new_cache(),
            last_refetch: Mutex::new(None),
        }));
        lifecycle.spawn_task("access state", verifier.clone().watch_forever());
        verifier
    }

    /// Returns the identity of a token. Errors: `invalid_token`, `inactive_user`, and `unavailable`
    /// if the key is unknown and auth is unreachable.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        let identity = self.verify(token).await?;
        if self.is_inactive(identity.user_id) {
            return Err(ErrorCode::InactiveUser);
        }
        Ok(identity)
    }

    /// Returns true if the tokens of this user are refused.
    pub(crate) fn is_inactive(&self, user_id: UserId) -> bool {
        self.0.inactive.borrow().contains(&user_id)
    }

    /// Returns a receiver of the users whose tokens are refused.
    pub(crate) fn inactive_users(&self) -> watch::Receiver<Arc<HashSet<UserId>>> {
        self.0.inactive.subscribe()
    }

    /// Resolves when the first access state has arrived.
    pub(crate) async fn wait_for_first_state(&self) {
        // `self` owns the sender, so waiting cannot fail.
        let _ = self.0.keys.subscribe().wait_for(Option::is_some).await;
    }

    /// Returns the public keys, or `None` before the first access state.
    pub(crate) fn jwks(&self) -> Option<Vec<Jwk>> {
        let keys = self.0.keys.borrow().clone()?;
        Some(keys.values().map(|key| key.jwk.clone()).collect())
    }

    async fn verify(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        if let Some(verified) = self.0.verified.get(token)
            && self.is_still_valid(&verified)
        {
            return Ok(verified.identity);
        }
        let kid = parse_kid(token)?;
        let key = self.key(&kid).await?;
        let identity = Arc::new(self.decode(token, &key)?);
        let verified = Verified { identity: identity.clone(), kid: kid.into() };
        self.0.verified.insert(token.into(), verified);
        Ok(identity)
    }

    fn is_still_valid(&self, verified: &Verified) -> bool {
        verified.identity.expires_at > self.0.clock.now() && self.knows_key(&verified.kid)
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

    /// Fetches the keys from auth, or returns the result of the last fetch if that is younger than
    /// [`REFETCH_INTERVAL`].
    async fn refetch_keys(&self) -> Result<(), ErrorCode> {
        let mut last = self.0.last_refetch.lock().await;
        if let Some(refetch) =
            last.as_ref().filter(|refetch| refetch.at.elapsed() < REFETCH_INTERVAL)
        {
            return refetch.result;
        }
        // A fetch whose request is cancelled counts as a failed one.
        *last = Some(Refetch { at: Instant::now(), result: Err(ErrorCode::Unavailable) });
        let response = self.0.auth.clone().get_access_state(GetAccessStateRequest {}).await;
        let state = response.map_err(|_| ErrorCode::Unavailable);
        let result = state.map(|state| self.add_keys(state.into_inner().state.unwrap_or_default()));
        *last = Some(Refetch { at: Instant::now(), result });
        result
    }

    /// Adds the keys of a fetched state. The stream may have brought a newer state meanwhile, so no
    /// key is removed.
    fn add_keys(&self, state: AccessState) {
        if self.0.keys.borrow().is_none() {
            self.apply(state);
            return;
        }
        self.0.keys.send_modify(|keys| {
            let mut merged = keys.as_deref().cloned().unwrap_or_default();
            for (kid, key) in keys_by_id(state.keys) {
                merged.entry(kid).or_insert(key);
            }
            *keys = Some(Arc::new(merged));
        });
    }

    fn apply(&self, state: AccessState) {
        let inactive: HashSet<UserId> =
            state.inactive_user_ids.into_iter().map(UserId::new).collect();
        self.0.inactive.send_if_modified(|current| {
            let is_changed = **current != inactive;
            if is_changed {
                *current = Arc::new(inactive);
            }
            is_changed
        });
        self.0.keys.send_replace(Some(Arc::new(keys_by_id(state.keys))));
    }

    async fn watch_forever(self) -> anyhow::Result<()> {
        let mut backoff = MIN_BACKOFF;
        loop {
            let has_received = self.watch_once().await;
            backoff = if has_received { MIN_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(backoff.mul_f64(jitter)).await;
        }
    }

    /// Applies the states of one stream until it ends. Returns true if a state has arrived.
    async fn watch_once(&self) -> bool {
        let mut auth = self.0.auth.clone();
        let mut stream = match auth.watch_access_state(WatchAccessStateRequest::default()).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                let error = status.message();
                tracing::debug!(error, "access state stream could not be opened; retrying");
                return false;
            }
        };
        let mut has_received = false;
        // The pings of HTTP/2 detect a connection that is dead without a reset.
        while let Ok(Some(message)) = stream.message().await {
            self.apply(message.state.unwrap_or_default());
            has_received = true;
        }
        tracing::info!("access state stream ended; keeping the last state and reconnecting");
        has_received
    }
}

/// Returns the rules for tokens. The verifier compares the expiry with the injected clock itself.
fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.leeway = 0;
    validation
}

/// Returns the key id in the header of a token. Only EdDSA is accepted.
fn parse_kid(token: &str) -> Result<String, ErrorCode> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| ErrorCode::InvalidToken)?;
    header.kid.filter(|_| header.alg == Algorithm::EdDSA).ok_or(ErrorCode::InvalidToken)
}

fn keys_by_id(keys: Vec<PublicKey>) -> Keys {
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

fn new_cache() -> VerifiedByToken {
    let (hasher, lifecycle) = (Default::default(), DefaultLifecycle::default());
    Cache::with(MAX_CACHED, MAX_CACHED as u64, UnitWeighter, hasher, lifecycle)
}

#[cfg(test)]
#[path = "tests/verifier.rs"]
mod tests;
