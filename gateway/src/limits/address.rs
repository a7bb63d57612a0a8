//! The address of the client that a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv6Net};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Providers assign IPv6 networks of this size. A client can use any address in its network.
const IPV6_PREFIX: u8 = 64;

/// The address of a client. The server sets it as an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// The unit that the limits count: an IPv4 address or an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpNet);

impl ClientAddress {
    pub(super) fn network(self) -> Network {
        Network(match self.0 {
            IpAddr::V4(_) => self.0.into(),
            IpAddr::V6(address) => Ipv6Net::new_assert(address, IPV6_PREFIX).trunc().into(),
        })
    }
}

/// The proxies whose `X-Forwarded-For` is trusted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Returns the address of the client: the peer of the connection or, if that is a trusted
    /// proxy, the last address in `X-Forwarded-For` that is no trusted proxy. The client may have
    /// invented the addresses before it.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines =
            headers.get_all(FORWARDED_FOR).into_iter().collect::<Vec<_>>().into_iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.contains(client) {
            // Without a readable address, all clients of the proxy count as one.
            let Some(hop) = hops.next().and_then(parse_hop) else { break };
            client = hop;
        }
        client
    }

    /// Returns true for a trusted proxy. The address is in its canonical form.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address of `X-Forwarded-For`. Some proxies add the port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = text.parse().ok().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let proxies = text.split(',').map(str::trim).filter(|proxy| !proxy.is_empty());
        proxies.map(parse_proxy).collect::<Result<_, _>>().map(Self)
    }
}

fn parse_proxy(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical()));
    let network = text.parse().ok().or_else(address);
    network.ok_or_else(|| "must be addresses or networks such as 10.0.0.0/8".to_owned())
}
