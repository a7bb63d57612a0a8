//! Verifies access tokens.
//!
//! A request costs a look-up in memory. Without the access state of the last seconds no token is
//! accepted, because its session may have ended.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};
use parlance_core::{Clock, ErrorCode, SessionId, Timestamp, UserId};
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{AccessState, GetAccessStateRequest, WatchAccessStateResponse};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use serde::Deserialize;
use tokio::sync::{Mutex, broadcast, watch};
use tokio::time::Instant;

use crate::auth::access::Access;
use crate::auth::ended::Ended;
use crate::auth::freshness::Freshness;
use crate::auth::gauges::register_gauges;
use crate::auth::identity::{Identity, Token};
use crate::auth::keys::{Jwk, Key};
use crate::config::Config;

/// The number of verified tokens that are cached.
const MAX_CACHED: usize = 100_000;
/// The shortest time between two fetches of the keys for tokens with an unknown key.
const REFETCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long tokens are accepted without news from auth.
const MAX_AGE: Duration = Duration::from_secs(5);
/// The header `typ` of tokens with a session (RFC 9068), and of those without.
const WITH_SESSION: &str = "at+jwt";
const WITHOUT_SESSION: &str = "JWT";

/// The changed profiles that the cache of users may be behind before it forgets all users.
const MAX_CHANGED_PROFILES: usize = 1_024;

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TokenVerifier(pub(super) Arc<Shared>);

pub(super) struct Shared {
    auth: AuthServiceClient<Client>,
    clock: Clock,
    validation: Validation,
    /// Locked for look-ups and changes, never across an await.
    access: RwLock<Access>,
    /// Told of each change after which an open socket may have to be closed.
    changes: watch::Sender<()>,
    inactive: watch::Sender<Arc<HashSet<UserId>>>,
    /// Told of changed profiles: one user, or any if none.
    changed_profiles: broadcast::Sender<Option<UserId>>,
    freshness: Freshness,
    is_complete: watch::Sender<bool>,
    verified: VerifiedByToken,
    /// The last fetch of the keys. The lock is held during a fetch, so that all requests wait for
    /// the same one.
    last_refetch: Mutex<Option<Refetch>>,
}

/// The verified tokens. Clients cannot cause collisions, because they cannot choose valid tokens.
type VerifiedByToken = Cache<Box<str>, Arc<Identity>, UnitWeighter, foldhash::quality::RandomState>;

struct Refetch {
    at: Instant,
    result: Result<(), ErrorCode>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    username: String,
    sid: Option<String>,
    jti: Box<str>,
    iat: i64,
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
            access: RwLock::default(),
            changes: watch::Sender::default(),
            inactive: watch::Sender::default(),
            changed_profiles: broadcast::Sender::new(MAX_CHANGED_PROFILES),
            freshness: Freshness::new(Instant::now()),
            is_complete: watch::Sender::new(false),
            verified: new_cache(),
            last_refetch: Mutex::new(None),
        }));
        register_gauges(&verifier);
        lifecycle.spawn_task("access state", verifier.clone().watch_forever());
        verifier
    }

    /// Returns the identity of a token. Errors: `invalid_token`, `token_expired`, `inactive_user`,
    /// `session_revoked`, and `unavailable` without the access state of the last seconds, or if the
    /// key is unknown and auth is unreachable.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        let identity = self.verify(token).await?;
        self.require_current()?;
        self.check(&identity)?;
        Ok(identity)
    }

    /// Fails with `unavailable` if auth has not been heard of for too long.
    pub(crate) fn require_current(&self) -> Result<(), ErrorCode> {
        let is_current = self.age().is_some_and(|age| age <= MAX_AGE);
        if is_current { Ok(()) } else { Err(ErrorCode::Unavailable) }
    }

    /// Returns the time since the stream last brought a message, or `None` before the whole access
    /// state has arrived.
    pub(super) fn age(&self) -> Option<Duration> {
        self.0.freshness.age(Instant::now())
    }

    /// The number of sessions and tokens that have ended and not expired.
    pub(super) fn ended(&self) -> usize {
        self.access().ended()
    }

    /// Checks that a verified token is accepted now. Errors: `inactive_user`, `session_revoked`,
    /// and `token_expired` if its key was retired.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), ErrorCode> {
        self.access().check(identity, &self.0.clock)
    }

    /// Returns a receiver that is told of each change after which [`check`](Self::check) may refuse
    /// what it has accepted.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Returns a receiver of the users whose tokens are refused.
    pub(crate) fn inactive_users(&self) -> watch::Receiver<Arc<HashSet<UserId>>> {
        self.0.inactive.subscribe()
    }

    /// Returns a receiver of the users whose profiles change. None, and a lag, stand for any users.
    pub(crate) fn changed_profiles(&self) -> broadcast::Receiver<Option<UserId>> {
        self.0.changed_profiles.subscribe()
    }

    /// Tells of the profiles that a message of the stream names as changed.
    pub(super) fn note_profiles(&self, message: &WatchAccessStateResponse) {
        let reset = message.are_profiles_reset.then_some(None);
        let changed = message.changed_user_ids.iter().map(|id| Some(UserId::new(*id)));
        for change in reset.into_iter().chain(changed) {
            // Fails only while nobody caches users.
            let _ = self.0.changed_profiles.send(change);
        }
    }

    /// Resolves when the whole access state has arrived.
    pub(crate) async fn wait_for_first_state(&self) {
        // `self` owns the sender, so waiting cannot fail.
        let _ = self.0.is_complete.subscribe().wait_for(|is_complete| *is_complete).await;
    }

    /// Returns the public keys, or `None` before the first access state.
    pub(crate) fn jwks(&self) -> Option<Vec<Jwk>> {
        let keys = || self.access().keys().values().map(|key| key.jwk.clone()).collect();
        self.0.is_complete.borrow().then(keys)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Identity>, ErrorCode> {
        if let Some(identity) = self.0.verified.get(token)
            && self.is_still_valid(&identity)
        {
            return Ok(identity);
        }
        let (kid, has_session) = parse_header(token)?;
        let key = self.key(&kid).await?;
        let identity = self.decode(token, &key)?;
        if identity.token.session_id.is_some() != has_session {
            return Err(ErrorCode::InvalidToken);
        }
        let identity = Arc::new(identity);
        self.0.verified.insert(token.into(), identity.clone());
        Ok(identity)
    }

    fn is_still_valid(&self, identity: &Identity) -> bool {
        identity.token.expires_at > self.0.clock.now()
            && self.access().key(&identity.token.kid).is_some()
    }

    fn decode(&self, token: &str, key: &Key) -> Result<Identity, ErrorCode> {
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.0.validation)
            .map_err(|_| ErrorCode::InvalidToken)?
            .claims;
        let expires_at = claims.exp.checked_mul(1_000_000).map(Timestamp::from_micros);
        let expires_at = expires_at.ok_or(ErrorCode::InvalidToken)?;
        let token = Token {
            session_id: claims.sid.map(|id| positive(&id).map(SessionId::new)).transpose()?,
            id: claims.jti,
            issued_at_s: claims.iat,
            expires_at,
            kid: key.kid.clone(),
        };
        let user_id = UserId::new(positive(&claims.sub)?);
        if expires_at <= self.0.clock.now() {
            return Err(ErrorCode::TokenExpired);
        }
        Ok(Identity { user_id, username: claims.username, token })
    }

    async fn key(&self, kid: &str) -> Result<Key, ErrorCode> {
        if let Some(key) = self.known_key(kid) {
            return Ok(key);
        }
        self.refetch_keys().await?;
        self.known_key(kid).ok_or(ErrorCode::InvalidToken)
    }

    fn known_key(&self, kid: &str) -> Option<Key> {
        self.access().key(kid).cloned()
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
        let response = self.auth().get_access_state(GetAccessStateRequest {}).await;
        let state = response.map_err(|_| ErrorCode::Unavailable);
        let keys = state.map(|state| state.into_inner().state.unwrap_or_default().keys);
        let result = keys.map(|keys| self.change(|access| access.add_keys(keys)));
        *last = Some(Refetch { at: Instant::now(), result });
        result
    }

    pub(super) fn auth(&self) -> AuthServiceClient<Client> {
        self.0.auth.clone()
    }

    /// Replaces the access state by the one that a new stream has begun with.
    pub(super) fn replace(&self, state: AccessState, ended: Ended) {
        self.change(|access| access.replace(state, ended));
        self.0.freshness.note_message(Instant::now());
        self.0.is_complete.send_replace(true);
        self.0.changes.send_replace(());
    }

    /// Applies a later message of the stream.
    pub(super) fn apply(&self, message: WatchAccessStateResponse) {
        let has_changes = message.state.is_some() || !message.ended.is_empty();
        if has_changes {
            self.change(|access| {
                message.state.into_iter().for_each(|state| access.set_state(state));
                access.add_ended(message.ended);
            });
        }
        self.0.freshness.note_message(Instant::now());
        if has_changes {
            self.0.changes.send_replace(());
        }
    }

    /// Forgets what has ended and expired.
    pub(super) fn purge(&self) {
        self.change(|access| access.purge(self.0.clock.now()));
    }

    fn access(&self) -> RwLockReadGuard<'_, Access> {
        // Changes are complete or have not begun, also after a panic of another holder.
        self.0.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Access)) {
        let mut access = self.0.access.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut access);
        let inactive = access.inactive().clone();
        drop(access);
        self.0.inactive.send_if_modified(|current| {
            let is_changed = **current != *inactive;
            if is_changed {
                *current = inactive;
            }
            is_changed
        });
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

/// Returns the key id in the header of a token, and whether the token has to have a session. Only
/// EdDSA is accepted.
fn parse_header(token: &str) -> Result<(String, bool), ErrorCode> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| ErrorCode::InvalidToken)?;
    let has_session = match header.typ.as_deref() {
        Some(WITH_SESSION) => true,
        Some(WITHOUT_SESSION) | None => false,
        Some(_) => return Err(ErrorCode::InvalidToken),
    };
    let kid = header.kid.filter(|_| header.alg == Algorithm::EdDSA);
    Ok((kid.ok_or(ErrorCode::InvalidToken)?, has_session))
}

/// Reads an id, which is positive.
fn positive(text: &str) -> Result<i64, ErrorCode> {
    text.parse().ok().filter(|&id: &i64| id > 0).ok_or(ErrorCode::InvalidToken)
}

fn new_cache() -> VerifiedByToken {
    let (hasher, lifecycle) = (Default::default(), DefaultLifecycle::default());
    Cache::with(MAX_CACHED, MAX_CACHED as u64, UnitWeighter, hasher, lifecycle)
}

#[cfg(test)]
#[path = "tests/verifier.rs"]
mod tests;
