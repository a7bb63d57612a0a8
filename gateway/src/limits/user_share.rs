//! What all connections and REST calls of one user share: requests to messaging in flight, and
//! subscriptions that are being started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use parlance_core::{ErrorCode, UserId};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::lock::lock;

/// Subscriptions of one user that may ask messaging at the same time. Further ones wait, so that
/// the many connections of one user do not fill the queue in which all users wait.
const MAX_SUBSCRIBING: usize = 16;

/// The share of each user who uses this gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UserShares {
    max_in_flight: usize,
    refused: Counter<u64>,
    /// A share lives as long as a connection, a call or a request in flight holds it, so that a
    /// user cannot get a fresh one by connecting anew.
    shares: Arc<Mutex<HashMap<UserId, Weak<UserShare>>>>,
}

/// What one user may use of this gateway.
pub(crate) struct UserShare {
    user_id: UserId,
    in_flight: Semaphore,
    subscribing: Semaphore,
    all: UserShares,
}

/// Counts a request as in flight until it is dropped.
pub(crate) struct InFlightPermit(Arc<UserShare>);

impl UserShares {
    pub(crate) fn new(max_in_flight: u32, refused: Counter<u64>) -> Self {
        Self { max_in_flight: max_in_flight as usize, refused, shares: Arc::default() }
    }

    /// Returns the share of a user.
    pub(crate) fn of(&self, user_id: UserId) -> Arc<UserShare> {
        let mut shares = lock(&self.shares);
        let entry = shares.entry(user_id).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let share = Arc::new(UserShare {
                user_id,
                in_flight: Semaphore::new(self.max_in_flight),
                subscribing: Semaphore::new(MAX_SUBSCRIBING),
                all: self.clone(),
            });
            *entry = Arc::downgrade(&share);
            share
        })
    }
}

impl UserShare {
    /// Counts a request as in flight, if the user may have another one.
    pub(crate) fn try_begin(self: &Arc<Self>) -> Option<InFlightPermit> {
        self.in_flight.try_acquire().ok()?.forget();
        Some(InFlightPermit(self.clone()))
    }

    /// Counts a request as in flight as soon as the user may have another one. Requests that wait
    /// are served in their order. Safe to cancel.
    pub(crate) async fn begin(self: Arc<Self>) -> Option<InFlightPermit> {
        // The semaphore is never closed.
        self.in_flight.acquire().await.ok()?.forget();
        Some(InFlightPermit(self))
    }

    /// Counts a request as in flight, or refuses it.
    pub(crate) fn begin_or_refuse(self: &Arc<Self>) -> Result<InFlightPermit, ErrorCode> {
        self.try_begin().ok_or_else(|| self.refuse())
    }

    /// Waits until the user may start another subscription.
    pub(crate) async fn begin_subscription(&self) -> Option<SemaphorePermit<'_>> {
        self.subscribing.acquire().await.ok()
    }

    fn refuse(&self) -> ErrorCode {
        self.all.refused.add(1, &[KeyValue::new("limit", "in_flight")]);
        tracing::debug!("user has too many requests in flight; refusing with rate_limited");
        ErrorCode::RateLimited
    }
}

impl Drop for UserShare {
    fn drop(&mut self) {
        let mut shares = lock(&self.all.shares);
        // A new share may have taken the place.
        if shares.get(&self.user_id).is_some_and(|share| share.strong_count() == 0) {
            shares.remove(&self.user_id);
        }
    }
}

impl InFlightPermit {
    /// Counts the requests of the user that are in flight, this one included.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.all.max_in_flight.saturating_sub(self.0.in_flight.available_permits())
    }

    /// Notes that the request is refused because the user has too many in flight.
    pub(crate) fn refuse(&self) -> ErrorCode {
        self.0.refuse()
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.in_flight.add_permits(1);
    }
}

#[cfg(test)]
#[path = "tests/user_share.rs"]
mod tests;
