//! The counters of all limits.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use parlance_core::{ErrorCode, UserId};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::limits::address::{ClientAddress, Network};
use crate::limits::bucket::{Refill, TokenBucket};
use crate::limits::config::LimitsConfig;
use crate::limits::permits::{Permit, Permits};
use crate::limits::user_share::{UserShare, UserShares};
use crate::lock::lock;
use crate::metrics::counter;

/// The networks whose log-ins are counted. With more, the count of the network that logs in least
/// often starts anew.
const MAX_NETWORKS: usize = 100_000;

const SECOND: Duration = Duration::from_secs(1);

/// The values of the label `limit` of the metric `parlance.gateway.rate_limited`.
const LIMITS: [&str; 8] = [
    "sockets",
    "unauthenticated_sockets",
    "connections",
    "rooms",
    "subscriptions",
    "in_flight",
    "frames",
    "log_ins",
];

/// Counts an open socket until it is dropped.
pub(crate) type SocketPermit = Permit<Network>;
/// Counts a user's connection until it is dropped.
pub(crate) type ConnectionPermit = Permit<UserId>;
/// Counts a user's subscription to a room until it is dropped.
pub(crate) type SubscriptionPermit = Permit<UserId>;

/// The limits, and how much of each is used.
pub(crate) struct ClientLimits {
    sockets: Permits<Network>,
    unauthenticated_sockets: Permits<Network>,
    connections: Permits<UserId>,
    subscriptions: Permits<UserId>,
    user_shares: UserShares,
    max_rooms: usize,
    frames: Refill,
    log_ins: Refill,
    /// The log-ins that each network has left.
    log_in_buckets: Cache<Network, Arc<Mutex<TokenBucket>>>,
    refused: Counter<u64>,
}

impl ClientLimits {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        let refused = counter(
            "parlance.gateway.rate_limited",
            "Sockets, connections, subscriptions, requests, frames and log-ins over a limit.",
        );
        for limit in LIMITS {
            refused.add(0, &[KeyValue::new("limit", limit)]);
        }
        Self {
            sockets: Permits::new(config.max_sockets_per_address),
            unauthenticated_sockets: Permits::new(config.max_unauthenticated_sockets_per_address),
            connections: Permits::new(config.max_connections_per_user),
            subscriptions: Permits::new(config.max_subscriptions_per_user),
            user_shares: UserShares::new(config.max_in_flight_per_user, refused.clone()),
            max_rooms: config.max_rooms_per_connection as usize,
            frames: Refill::new(config.max_frames_per_second, SECOND, config.frames_burst),
            log_ins: Refill::new(config.log_ins_per_minute, 60 * SECOND, config.log_ins_burst),
            log_in_buckets: Cache::new(MAX_NETWORKS),
            refused,
        }
    }

    /// Counts a socket from this address.
    pub(crate) fn open_socket(&self, address: ClientAddress) -> Result<SocketPermit, ErrorCode> {
        self.sockets.take(address.network()).ok_or_else(|| self.refuse("sockets"))
    }

    /// Counts a socket that is not authenticated yet, besides [`open_socket`](Self::open_socket).
    pub(crate) fn open_unauthenticated_socket(
        &self,
        address: ClientAddress,
    ) -> Result<SocketPermit, ErrorCode> {
        let permit = self.unauthenticated_sockets.take(address.network());
        permit.ok_or_else(|| self.refuse("unauthenticated_sockets"))
    }

    /// Counts a connection of this user.
    pub(crate) fn connect(&self, user_id: UserId) -> Result<ConnectionPermit, ErrorCode> {
        self.connections.take(user_id).ok_or_else(|| self.refuse("connections"))
    }

    /// Returns what all connections of this user share.
    pub(crate) fn user_share(&self, user_id: UserId) -> Arc<UserShare> {
        self.user_shares.of(user_id)
    }

    /// Counts a subscription of this user, if there may be another one. Refuses nothing.
    pub(crate) fn try_subscribe(&self, user_id: UserId) -> Option<SubscriptionPermit> {
        self.subscriptions.take(user_id)
    }

    /// Refuses a subscription for which [`try_subscribe`](Self::try_subscribe) gave no permit.
    pub(crate) fn refuse_subscription(&self) -> ErrorCode {
        self.refuse("subscriptions")
    }

    /// Checks that a connection with this number of subscriptions may add one.
    pub(crate) fn allow_room(&self, subscribed: usize) -> Result<(), ErrorCode> {
        if self.has_room_left(subscribed) { Ok(()) } else { Err(self.refuse("rooms")) }
    }

    /// Returns true if a connection with this number of subscriptions may add one. Refuses nothing.
    pub(crate) fn has_room_left(&self, subscribed: usize) -> bool {
        subscribed < self.max_rooms
    }

    /// Takes a token for a frame from the bucket of its connection.
    pub(crate) fn take_frame(
        &self,
        bucket: &mut TokenBucket,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        if bucket.take(self.frames, now) { Ok(()) } else { Err(self.refuse("frames")) }
    }

    /// Takes a token for a call from this address that costs a slow hash: a registration, a log-in,
    /// a change or a reset of a password.
    pub(crate) fn take_log_in(&self, address: ClientAddress) -> Result<(), ApiError> {
        let now = Instant::now();
        if lock(&self.log_in_bucket(address, now)).take(self.log_ins, now) {
            return Ok(());
        }
        Err(ApiError::with_retry_after(self.refuse("log_ins"), self.log_ins.retry_after()))
    }

    /// Gives back the token of a call that did not cost a hash after all.
    pub(crate) fn give_back_log_in(&self, address: ClientAddress) {
        lock(&self.log_in_bucket(address, Instant::now())).give_back(self.log_ins);
    }

    fn log_in_bucket(&self, address: ClientAddress, now: Instant) -> Arc<Mutex<TokenBucket>> {
        let full = || Ok::<_, Infallible>(Arc::new(Mutex::new(TokenBucket::full(now))));
        let Ok(bucket) = self.log_in_buckets.get_or_insert_with(&address.network(), full);
        bucket
    }

    fn refuse(&self, limit: &'static str) -> ErrorCode {
        self.refused.add(1, &[KeyValue::new("limit", limit)]);
        tracing::debug!(limit, "client is over a limit; refusing with rate_limited");
        ErrorCode::RateLimited
    }
}
