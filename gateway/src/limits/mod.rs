//! What one client may take of this gateway, so that none can hurt another: sockets, connections,
//! rooms, frames, log-ins. Each gateway counts for itself, in memory; what is beyond a limit is
//! refused as `rate_limited` and can be tried again a second later.
//!
//! The defaults are far above what a person, a page or a busy program does: nobody meets them who
//! means well. They hold what one client can cost within what the machine can carry. How much is
//! under way or queued for a connection is bounded elsewhere, by not reading on and by cutting it;
//! the settings of that are here.

mod address;
mod bucket;
mod config;
mod places;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use parlance_core::{ErrorCode, UserId};
use quick_cache::sync::Cache;
use tokio::time::Instant;

pub(crate) use crate::limits::address::ClientAddress;
use crate::limits::address::Network;
pub use crate::limits::address::TrustedProxies;
use crate::limits::bucket::Refill;
pub(crate) use crate::limits::bucket::TokenBucket;
pub use crate::limits::config::LimitsConfig;
pub(crate) use crate::limits::places::Place;
use crate::limits::places::Places;

/// The networks whose log-ins are remembered. When there are more, the one that logs in least often
/// starts afresh.
const MAX_NETWORKS: usize = 100_000;

/// What the metric of refusals tells apart.
const LIMITS: [&str; 6] =
    ["sockets", "unauthenticated_sockets", "connections", "rooms", "frames", "log_ins"];

/// A socket that is open, while it is held.
pub(crate) type SocketPermit = Place<Network>;
/// A connection of a user, while it is held.
pub(crate) type ConnectionPermit = Place<UserId>;

/// The limits and what has been taken of them.
#[derive(Debug)]
pub(crate) struct Limits {
    sockets: Places<Network>,
    unauthenticated_sockets: Places<Network>,
    connections: Places<UserId>,
    max_rooms: usize,
    frames: Refill,
    log_ins: Refill,
    /// What each network has left.
    log_in_buckets: Cache<Network, Arc<Mutex<TokenBucket>>>,
    refused: Counter<u64>,
}

impl Limits {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        let log_ins = Refill::new(config.max_log_ins_per_second, config.log_ins_burst);
        let refused = global::meter("parlance")
            .u64_counter("parlance.gateway.rate_limited")
            .with_description(
                "Sockets, connections, subscriptions, frames and log-ins beyond a limit.",
            )
            .build();
        for limit in LIMITS {
            refused.add(0, &[KeyValue::new("limit", limit)]);
        }
        Self {
            sockets: Places::new(config.max_sockets_per_address),
            unauthenticated_sockets: Places::new(config.max_unauthenticated_sockets_per_address),
            connections: Places::new(config.max_connections_per_user),
            max_rooms: config.max_rooms_per_connection as usize,
            frames: Refill::new(config.max_frames_per_second, config.frames_burst),
            log_ins,
            log_in_buckets: Cache::new(MAX_NETWORKS),
            refused,
        }
    }

    /// Takes a place for a socket from this address.
    pub(crate) fn open_socket(&self, address: ClientAddress) -> Result<SocketPermit, ErrorCode> {
        self.sockets.take(address.network()).ok_or_else(|| self.refuse("sockets"))
    }

    /// Takes a place for a socket that has yet to say whose it is, besides
    /// [`open_socket`](Self::open_socket).
    pub(crate) fn open_unauthenticated_socket(
        &self,
        address: ClientAddress,
    ) -> Result<SocketPermit, ErrorCode> {
        let place = self.unauthenticated_sockets.take(address.network());
        place.ok_or_else(|| self.refuse("unauthenticated_sockets"))
    }

    /// Takes a place for a connection of this user.
    pub(crate) fn connect(&self, user_id: UserId) -> Result<ConnectionPermit, ErrorCode> {
        self.connections.take(user_id).ok_or_else(|| self.refuse("connections"))
    }

    /// Whether a connection that is subscribed to so many rooms may have one more.
    pub(crate) fn allow_room(&self, subscribed: usize) -> Result<(), ErrorCode> {
        if self.has_room_left(subscribed) { Ok(()) } else { Err(self.refuse("rooms")) }
    }

    /// The same, only asked.
    pub(crate) fn has_room_left(&self, subscribed: usize) -> bool {
        subscribed < self.max_rooms
    }

    /// Takes one frame from what a connection has left.
    pub(crate) fn take_frame(
        &self,
        bucket: &mut TokenBucket,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        if bucket.take(self.frames, now) { Ok(()) } else { Err(self.refuse("frames")) }
    }

    /// Takes one registration or log-in from what this address has left: both cost a slow hash.
    pub(crate) fn take_log_in(&self, address: ClientAddress) -> Result<(), ErrorCode> {
        let now = Instant::now();
        let full = || Ok::<_, Infallible>(Arc::new(Mutex::new(TokenBucket::full(now))));
        let Ok(bucket) = self.log_in_buckets.get_or_insert_with(&address.network(), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.take(self.log_ins, now) { Ok(()) } else { Err(self.refuse("log_ins")) }
    }

    fn refuse(&self, limit: &'static str) -> ErrorCode {
        self.refused.add(1, &[KeyValue::new("limit", limit)]);
        tracing::debug!(limit, "refused what is beyond a limit");
        ErrorCode::RateLimited
    }
}
