//! Limits on TCP connections, whatever is spoken on them: in all, and from one address.

use std::net::IpAddr;

use clap::Args;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use parlance_runtime::config::number;

use crate::limits::address::{ClientAddress, Network, TrustedProxies};
use crate::limits::open_files;
use crate::limits::permits::{Permit, Permits};
use crate::metrics::counter;

/// How many TCP connections a gateway accepts.
#[derive(Args, Clone, Debug)]
pub struct TcpConfig {
    /// The most TCP connections, with HTTP or as sockets. Beyond it, new ones are closed at once.
    ///
    /// The gateway accepts fewer if its limit of open files is lower; it says at start how many.
    #[arg(
        long, env = "MAX_TCP_CONNECTIONS",
        default_value = "50000", value_parser = number(1..=u32::MAX)
    )]
    pub max_tcp_connections: u32,
    /// The most TCP connections from an address, as far as it is no trusted proxy. Beyond it, new
    /// ones are closed at once.
    ///
    /// Keep it above `MAX_SOCKETS_PER_ADDRESS`, so that clients behind the address can also send
    /// requests.
    #[arg(
        long, env = "MAX_TCP_CONNECTIONS_PER_ADDRESS",
        default_value = "25000", value_parser = number(1..=u32::MAX)
    )]
    pub max_tcp_connections_per_address: u32,
}

/// Counts the TCP connections that are open.
pub(crate) struct TcpLimits {
    all: Permits<()>,
    by_address: Permits<Network>,
    proxies: TrustedProxies,
    refused: Counter<u64>,
}

/// Counts a TCP connection until it is dropped.
pub(crate) struct TcpPermit {
    _of_all: Permit<()>,
    /// `None` for a trusted proxy: all clients may come through it.
    _of_address: Option<Permit<Network>>,
}

impl TcpLimits {
    /// Makes the counters, and says what the process can serve.
    pub(crate) fn new(config: &TcpConfig, proxies: TrustedProxies) -> Self {
        let max = open_files::bound(config.max_tcp_connections);
        let refused =
            counter("parlance.gateway.tcp_connections_refused", "TCP connections over a limit.");
        for limit in ["all", "address"] {
            refused.add(0, &[KeyValue::new("limit", limit)]);
        }
        let by_address = Permits::new(config.max_tcp_connections_per_address);
        Self { all: Permits::new(max), by_address, proxies, refused }
    }

    /// Counts a new connection. Returns `None` if it is over a limit.
    pub(crate) fn accept(&self, peer: IpAddr) -> Option<TcpPermit> {
        let peer = peer.to_canonical();
        let of_address = if self.proxies.contains(peer) {
            None
        } else {
            let permit = self.by_address.take(ClientAddress(peer).network());
            Some(permit.or_else(|| self.refuse("address"))?)
        };
        let of_all = self.all.take(()).or_else(|| self.refuse("all"))?;
        Some(TcpPermit { _of_all: of_all, _of_address: of_address })
    }

    fn refuse<T>(&self, limit: &'static str) -> Option<T> {
        self.refused.add(1, &[KeyValue::new("limit", limit)]);
        tracing::debug!(limit, "TCP connection is over a limit; closing it");
        None
    }
}

#[cfg(test)]
#[path = "tests/tcp.rs"]
mod tests;
