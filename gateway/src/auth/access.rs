//! What decides whether a verified token is accepted: the keys, the inactive users, and what has
//! ended.

use std::collections::HashSet;
use std::sync::Arc;

use parlance_core::{Clock, ErrorCode, Timestamp, UserId};
use parlance_proto::auth::{AccessState, EndedAccess, PublicKey};

use crate::auth::ended::Ended;
use crate::auth::identity::Identity;
use crate::auth::keys::{Key, Keys, keys_by_id};

/// A key is retired when its last token has expired. Clocks differ: a token that is as close to its
/// expiry as this when its key goes has expired, and has not been revoked.
const MAX_CLOCK_DIFFERENCE_US: i64 = 60_000_000;

/// The access state as auth has sent it.
#[derive(Default)]
pub(super) struct Access {
    keys: Keys,
    inactive: Arc<HashSet<UserId>>,
    ended: Ended,
    /// Keys that auth has withdrawn. A replica of auth that is behind may still name them.
    withdrawn: HashSet<Arc<str>>,
}

impl Access {
    /// Returns why a verified token is not accepted, if it is not.
    pub(super) fn check(&self, identity: &Identity, clock: &Clock) -> Result<(), ErrorCode> {
        if self.inactive.contains(&identity.user_id) {
            return Err(ErrorCode::InactiveUser);
        }
        if self.ended.contains(identity) {
            return Err(ErrorCode::SessionRevoked);
        }
        if self.keys.contains_key(&identity.token.kid) {
            return Ok(());
        }
        let remaining_us = identity.token.expires_at.as_micros() - clock.now().as_micros();
        let has_expired = remaining_us < MAX_CLOCK_DIFFERENCE_US;
        Err(if has_expired { ErrorCode::TokenExpired } else { ErrorCode::SessionRevoked })
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    pub(super) fn inactive(&self) -> &Arc<HashSet<UserId>> {
        &self.inactive
    }

    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Replaces the keys and the inactive users.
    pub(super) fn set_state(&mut self, state: AccessState) {
        let keys = keys_by_id(state.keys);
        let withdrawn = self.keys.keys().filter(|kid| !keys.contains_key(*kid)).cloned();
        self.withdrawn.extend(withdrawn);
        self.withdrawn.retain(|kid| !keys.contains_key(kid));
        self.keys = keys;
        let inactive = state.inactive_user_ids.into_iter().map(UserId::new).collect();
        if *self.inactive != inactive {
            self.inactive = Arc::new(inactive);
        }
    }

    /// Adds keys that were fetched. The stream may have brought a newer state meanwhile, so no key
    /// is removed, and none is added that was withdrawn.
    pub(super) fn add_keys(&mut self, keys: Vec<PublicKey>) {
        for (kid, key) in keys_by_id(keys) {
            if !self.withdrawn.contains(&kid) {
                self.keys.entry(kid).or_insert(key);
            }
        }
    }

    pub(super) fn add_ended(&mut self, ended: Vec<EndedAccess>) {
        self.ended.add(ended);
    }

    /// Replaces everything by the state that a new stream has begun with.
    pub(super) fn replace(&mut self, state: AccessState, ended: Ended) {
        self.set_state(state);
        self.ended = ended;
    }

    /// Forgets what has ended and expired.
    pub(super) fn purge(&mut self, now: Timestamp) {
        self.ended.purge(now.as_seconds());
    }
}
