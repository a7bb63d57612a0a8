//! Whose requests are counted together.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address that a client may choose: providers assign networks of 64 bits.
const CHOSEN_BITS: u128 = u64::MAX as u128;

/// The network that a client's request comes from: an IPv4 address, or an IPv6 network of 64 bits.
/// All requests without a readable address count as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(Option<IpAddr>);

impl ClientNetwork {
    /// Parses the address of a client, as gateways send it.
    pub(crate) fn from_address(address: &str) -> Self {
        let address = address.parse().ok().map(|address: IpAddr| address.to_canonical());
        Self(address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !CHOSEN_BITS).into(),
        }))
    }
}

/// The text under which the network is stored: never empty.
impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
#[path = "tests/client_network.rs"]
mod tests;
