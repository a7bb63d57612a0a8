//! The cached look-up of users. Ids become user objects with one call to auth a request, however
//! many there are; what auth has said once is served on while auth is away.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlance_core::{ErrorCode, UserId, Username};
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{FindUsersRequest, GetUsersRequest};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Client;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::dto::{ById, User, UsersById};
use crate::auth::verifier::TokenVerifier;
use crate::error::ApiError;

/// How many users are remembered.
const MAX_REMEMBERED: usize = 100_000;
/// What is older than this is asked for again.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// How long it may take to ask just to freshen up, when the old answer would do.
const REFRESH_LIMIT: Duration = Duration::from_millis(250);
/// For how long nobody asks just to freshen up, after auth did not answer.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// The most ids or names in one call, by the contract.
const MAX_ASKED: usize = 10_000;

/// Looks users up. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct UserCache {
    auth: AuthServiceClient<Client>,
    remembered: Arc<RememberedById>,
    /// Whoever is remembered otherwise than this says is asked for again.
    inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    /// When auth last could not be reached.
    last_failure: Arc<Mutex<Option<Instant>>>,
}

type RememberedById = Cache<UserId, Remembered, UnitWeighter, ById>;

#[derive(Clone, Debug)]
struct Remembered {
    user: Arc<User>,
    since: Instant,
}

impl Remembered {
    /// Whether auth need not be asked.
    fn is_fresh(&self, inactive: &HashSet<UserId>) -> bool {
        self.since.elapsed() <= FRESH_FOR && self.user.is_active != inactive.contains(&self.user.id)
    }
}

impl UserCache {
    /// Begins to forget users whose activity changes.
    pub(crate) fn start(
        auth: AuthServiceClient<Client>,
        access: &TokenVerifier,
        lifecycle: &Lifecycle,
    ) -> Self {
        let remembered = Arc::new(cache());
        let users = Self {
            auth,
            remembered,
            inactive_users: access.inactive_users(),
            last_failure: Arc::default(),
        };
        lifecycle.spawn_task("users", users.clone().forget_changed(access.inactive_users()));
        users
    }

    /// The users with these ids; ids nobody has are left out. Fails only when somebody is unknown
    /// here and auth cannot be asked.
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
            match self.remembered.get(&id) {
                None => drop(missing.insert(id)),
                Some(remembered) => {
                    if !remembered.is_fresh(&inactive) {
                        stale.push(id);
                    }
                    found.insert(id, remembered.user);
                }
            }
        }

        if !missing.is_empty() {
            stale.extend(missing);
            found.extend(self.ask(&stale).await?);
        } else if !stale.is_empty() && !self.has_failed_just_now() {
            match tokio::time::timeout(REFRESH_LIMIT, self.ask(&stale)).await {
                Ok(Ok(users)) => found.extend(users),
                _ => self.note_failure(),
            }
        }
        Ok(found)
    }

    /// The user whom a good token was issued to. Auth does not know one whose account was lost with
    /// the newest part of the database, when a backup was restored: then the token is not one of
    /// ours any more.
    pub(crate) async fn of_token(&self, id: UserId) -> Result<Arc<User>, ApiError> {
        let remembered = self.remembered.get(&id);
        if let Some(remembered) = remembered
            && remembered.is_fresh(&self.inactive_users.borrow())
        {
            return Ok(remembered.user);
        }
        let found = self.by_ids([id]).await?;
        Ok(found.get(&id).cloned().ok_or(ErrorCode::InvalidToken)?)
    }

    /// A user as last known, however long ago, without asking anybody.
    pub(crate) fn cached(&self, id: UserId) -> Option<Arc<User>> {
        self.remembered.get(&id).map(|remembered| remembered.user)
    }

    /// The users with these names, ignoring case, by the names as they were asked for. Names nobody
    /// has are left out.
    pub(crate) async fn find(
        &self,
        names: &[String],
    ) -> Result<HashMap<String, Arc<User>>, ApiError> {
        let possible: Vec<String> =
            names.iter().filter(|name| Username::parse((*name).clone()).is_ok()).cloned().collect();
        let mut found = HashMap::new();
        for usernames in possible.chunks(MAX_ASKED) {
            let request = FindUsersRequest { usernames: usernames.to_vec() };
            let answer = self.auth.clone().find_users(request).await?.into_inner();
            for hit in answer.found {
                let user =
                    hit.user.ok_or_else(|| ApiError::contract_broken("a found user is empty"))?;
                found.insert(hit.requested_username, self.remember(user.into()));
            }
        }
        Ok(found)
    }

    /// The user with this name, ignoring case.
    pub(crate) async fn find_one(&self, name: &str) -> Result<Option<Arc<User>>, ApiError> {
        Ok(self.find(&[name.to_owned()]).await?.into_values().next())
    }

    async fn ask(&self, ids: &[UserId]) -> Result<UsersById, ApiError> {
        let mut found = UsersById::default();
        for ids in ids.chunks(MAX_ASKED) {
            let request = GetUsersRequest { user_ids: ids.iter().map(|id| id.get()).collect() };
            let answer = self.auth.clone().get_users(request).await?;
            for user in answer.into_inner().users {
                let user = self.remember(user.into());
                found.insert(user.id, user);
            }
        }
        Ok(found)
    }

    /// Keeps a user. One who has not changed stays the same object.
    fn remember(&self, user: User) -> Arc<User> {
        let known = self.cached(user.id).filter(|known| **known == user);
        let user = known.unwrap_or_else(|| Arc::new(user));
        self.remembered.insert(user.id, Remembered { user: user.clone(), since: Instant::now() });
        user
    }

    fn note_failure(&self) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn has_failed_just_now(&self) -> bool {
        let last_failure = *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last_failure.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE)
    }

    async fn forget_changed(
        self,
        mut inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    ) -> anyhow::Result<()> {
        let mut known = inactive_users.borrow_and_update().clone();
        loop {
            inactive_users.changed().await?;
            let present = inactive_users.borrow_and_update().clone();
            for id in known.symmetric_difference(&present) {
                self.remembered.remove(id);
            }
            known = present;
        }
    }
}

fn cache() -> RememberedById {
    let capacity = MAX_REMEMBERED as u64;
    Cache::with(
        MAX_REMEMBERED,
        capacity,
        UnitWeighter,
        ById::default(),
        DefaultLifecycle::default(),
    )
}

#[cfg(test)]
mod tests;
