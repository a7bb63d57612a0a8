//! One replica of a service, and whether the client passes it over.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;

use super::connect::Target;

/// How long an ejected replica gets no calls, unless all replicas are ejected.
const EJECTION_DURATION: Duration = Duration::from_millis(500);

/// One replica of a service. Clones share the connection and the ejection.
#[derive(Clone, Debug)]
pub struct Replica {
    address: SocketAddr,
    channel: Channel,
    /// The end of the ejection, in milliseconds on [`monotonic_ms`].
    ejected_until_ms: Arc<AtomicU64>,
}

impl Replica {
    pub(super) fn new(address: SocketAddr, target: &Target) -> anyhow::Result<Self> {
        let channel = target.channel(address)?;
        Ok(Self { address, channel, ejected_until_ms: Arc::default() })
    }

    /// The address of the replica, which identifies it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection to the replica. It is made when first used, and again when lost.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > monotonic_ms()
    }

    pub(super) fn eject(&self) {
        let until = monotonic_ms() + EJECTION_DURATION.as_millis() as u64;
        self.ejected_until_ms.store(until, Ordering::Relaxed);
    }
}

/// Returns the milliseconds since the first call.
fn monotonic_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}
