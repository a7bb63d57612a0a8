//! One replica of a service, and whether the client passes it over.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tonic::transport::Channel;

use super::connect::Target;
use super::replica_health::ReplicaHealth;

/// One replica of a service. Clones share the connection and the ejection.
#[derive(Clone, Debug)]
pub struct Replica {
    address: SocketAddr,
    channel: Channel,
    /// Locked for look-ups, never across an await.
    health: Arc<Mutex<ReplicaHealth>>,
}

impl Replica {
    pub(super) fn new(address: SocketAddr, target: &Target) -> anyhow::Result<Self> {
        let channel = target.channel(address)?;
        Ok(Self { address, channel, health: Arc::default() })
    }

    /// The address of the replica, which identifies it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection to the replica. It is made when first used, and again when lost.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// See [`ReplicaHealth::rank`].
    pub(super) fn rank(&self, may_try: bool) -> (u8, u32) {
        self.health().rank(may_try, Instant::now())
    }

    /// See [`ReplicaHealth::begin_trial`].
    pub(super) fn begin_trial(&self) -> bool {
        self.health().begin_trial(Instant::now())
    }

    /// The replica has answered a call, which ends its ejection.
    pub(super) fn answered(&self) {
        self.health().answered(Instant::now());
    }

    /// The replica has not answered a call that began then. See [`ReplicaHealth::failed`].
    pub(super) fn failed(&self, began: Instant, is_trial: bool) {
        self.health().failed(began, is_trial, Instant::now());
    }

    fn health(&self) -> MutexGuard<'_, ReplicaHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
