//! Looks up users and caches them. A request needs at most one call to auth for all its ids. While
//! auth is unreachable, cached users are still served.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{ErrorCode, UserId, Username};
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{FindUsersRequest, GetUsersRequest};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;

use crate::api::dto::{BuildIdHasher, User, UsersById};
use crate::auth::verifier::TokenVerifier;
use crate::cache::forgotten::{Forgotten, Snapshot};
use crate::error::ApiError;
use crate::lock::lock;

/// The number of cached users.
const MAX_CACHED: usize = 100_000;
/// The age at which a cached user is refreshed.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// The time that a refresh may take. After it, the cached user is served.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(250);
/// The time without refreshes after a refresh failed.
const REFRESH_BACKOFF: Duration = Duration::from_secs(2);
/// The most ids or names that auth accepts in one call.
const MAX_PER_CALL: usize = 10_000;
/// The look-ups in the background at a time.
const MAX_IN_BACKGROUND: usize = 256;

/// Looks users up. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct UserCache {
    auth: AuthServiceClient<Client>,
    cache: Arc<CacheById>,
    /// A cached user whose activity differs from this set is refreshed.
    inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    /// When the last refresh failed.
    last_failure: Arc<Mutex<Option<Instant>>>,
    /// A permit for each look-up in the background.
    background: Arc<Semaphore>,
    /// A user that was forgotten is not cached by a look-up that began before.
    forgotten: Arc<Forgotten>,
}

type CacheById = Cache<UserId, CachedUser, UnitWeighter, BuildIdHasher>;

#[derive(Clone, Debug)]
struct CachedUser {
    user: Arc<User>,
    cached_at: Instant,
}

impl CachedUser {
    /// Returns true if the user needs no refresh.
    fn is_fresh(&self, inactive: &HashSet<UserId>) -> bool {
        self.cached_at.elapsed() <= FRESH_FOR
            && self.user.is_active != inactive.contains(&self.user.id)
    }
}

impl UserCache {
    /// Starts the task that evicts users whose activity changes.
    pub(crate) fn start(
        auth: AuthServiceClient<Client>,
        token_verifier: &TokenVerifier,
        lifecycle: &Lifecycle,
    ) -> Self {
        let users = Self {
            auth,
            cache: Arc::new(new_cache()),
            inactive_users: token_verifier.inactive_users(),
            last_failure: Arc::default(),
            background: Arc::new(Semaphore::new(MAX_IN_BACKGROUND)),
            forgotten: Arc::new(Forgotten::new()),
        };
        let eviction = users.clone().evict_changed(token_verifier.inactive_users());
        lifecycle.spawn_task("user cache", eviction);
        let forgetting = users.clone().forget_changed(token_verifier.changed_profiles());
        lifecycle.spawn_task("changed profiles", forgetting);
        users
    }

    /// Returns the users with these ids, without the ids that no user has. Fails only if a user is
    /// not cached and auth is unreachable.
    pub(crate) async fn by_ids(
        &self,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<UsersById, ApiError> {
        let mut found = UsersById::default();
        let (mut stale, mut missing) = (Vec::new(), HashSet::new());
        let inactive = self.inactive_users.borrow().clone();
        for id in ids {
            if found.contains_key(&id) {
                continue;
            }
            match self.cache.get(&id) {
                None => drop(missing.insert(id)),
                Some(cached) => {
                    if !cached.is_fresh(&inactive) {
                        stale.push(id);
                    }
                    found.insert(id, cached.user);
                }
            }
        }

        if !missing.is_empty() {
            stale.extend(missing);
            found.extend(self.fetch(&stale).await?);
        } else if !stale.is_empty() && !self.has_failed_recently() {
            match tokio::time::timeout(REFRESH_TIMEOUT, self.fetch(&stale)).await {
                Ok(Ok(users)) => found.extend(users),
                _ => *lock(&self.last_failure) = Some(Instant::now()),
            }
        }
        Ok(found)
    }

    /// Returns the user of a verified token. After a restore from a backup, auth may lack the
    /// newest accounts. Their tokens are then invalid.
    pub(crate) async fn for_token(&self, id: UserId) -> Result<Arc<User>, ApiError> {
        if let Some(cached) = self.cache.get(&id)
            && cached.is_fresh(&self.inactive_users.borrow())
        {
            return Ok(cached.user);
        }
        let found = self.by_ids([id]).await?;
        Ok(found.get(&id).cloned().ok_or(ErrorCode::InvalidToken)?)
    }

    /// Returns a cached user of any age, without a call.
    pub(crate) fn cached(&self, id: UserId) -> Option<Arc<User>> {
        self.cache.get(&id).map(|cached| cached.user)
    }

    /// Drops a user that has changed.
    pub(crate) fn forget(&self, id: UserId) {
        self.forgotten.add(id);
        self.cache.remove(&id);
    }

    /// Starts to look a user up, unless it is cached or too many are being looked up.
    pub(crate) fn look_up_in_background(&self, lifecycle: &Lifecycle, id: UserId) {
        if self.cached(id).is_none()
            && let Ok(permit) = self.background.clone().try_acquire_owned()
        {
            let users = self.clone();
            // A caller that does not find the user afterwards looks it up again.
            lifecycle.spawn(async move {
                drop(users.by_ids([id]).await);
                drop(permit);
            });
        }
    }

    /// Finds the users with these names in any case. The keys of the result are the names as given,
    /// without the names that no user has.
    pub(crate) async fn find(
        &self,
        names: &[String],
    ) -> Result<HashMap<String, Arc<User>>, ApiError> {
        let valid: Vec<String> =
            names.iter().filter(|name| Username::parse((*name).clone()).is_ok()).cloned().collect();
        let mut found = HashMap::new();
        for usernames in valid.chunks(MAX_PER_CALL) {
            let before = self.forgotten.snapshot();
            let request = FindUsersRequest { usernames: usernames.to_vec() };
            let answer = self.auth.clone().find_users(request).await?.into_inner();
            for hit in answer.found {
                let user =
                    hit.user.ok_or_else(|| ApiError::contract_broken("a found user is missing"))?;
                found.insert(hit.requested_username, self.insert(user.into(), &before));
            }
        }
        Ok(found)
    }

    /// Finds the user with this name in any case.
    pub(crate) async fn find_one(&self, name: &str) -> Result<Option<Arc<User>>, ApiError> {
        Ok(self.find(&[name.to_owned()]).await?.into_values().next())
    }

    async fn fetch(&self, ids: &[UserId]) -> Result<UsersById, ApiError> {
        let mut found = UsersById::default();
        for ids in ids.chunks(MAX_PER_CALL) {
            let before = self.forgotten.snapshot();
            let request = GetUsersRequest { user_ids: ids.iter().map(|id| id.get()).collect() };
            let answer = self.auth.clone().get_users(request).await?;
            for user in answer.into_inner().users {
                let user = self.insert(user.into(), &before);
                found.insert(user.id, user);
            }
        }
        Ok(found)
    }

    /// Caches a user, unless it was forgotten since its look-up began. An unchanged user keeps its
    /// `Arc`, by which encoded pages recognize it.
    fn insert(&self, user: User, before: &Snapshot) -> Arc<User> {
        let known = self.cached(user.id).filter(|known| **known == user);
        let user = known.unwrap_or_else(|| Arc::new(user));
        let cached = CachedUser { user: user.clone(), cached_at: Instant::now() };
        self.cache.insert(user.id, cached);
        // Checked behind the insertion, so that no change falls between the two.
        if self.forgotten.may_include(user.id, before) {
            self.cache.remove(&user.id);
        }
        user
    }

    fn has_failed_recently(&self) -> bool {
        lock(&self.last_failure).is_some_and(|at| at.elapsed() < REFRESH_BACKOFF)
    }

    /// Drops users whose profiles have changed.
    async fn forget_changed(
        self,
        mut changed: broadcast::Receiver<Option<UserId>>,
    ) -> anyhow::Result<()> {
        loop {
            match changed.recv().await {
                Ok(Some(id)) => self.forget(id),
                Ok(None) | Err(RecvError::Lagged(_)) => {
                    self.forgotten.add_all();
                    self.cache.clear();
                }
                Err(RecvError::Closed) => anyhow::bail!("the access state has ended"),
            }
        }
    }

    async fn evict_changed(
        self,
        mut inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    ) -> anyhow::Result<()> {
        let mut known = inactive_users.borrow_and_update().clone();
        loop {
            inactive_users.changed().await?;
            let present = inactive_users.borrow_and_update().clone();
            for id in known.symmetric_difference(&present) {
                self.cache.remove(id);
            }
            known = present;
        }
    }
}

fn new_cache() -> CacheById {
    let (hasher, lifecycle) = (BuildIdHasher::default(), DefaultLifecycle::default());
    Cache::with(MAX_CACHED, MAX_CACHED as u64, UnitWeighter, hasher, lifecycle)
}

#[cfg(test)]
#[path = "tests/users.rs"]
mod tests;
