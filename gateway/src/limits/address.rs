//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv6Net};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Providers give out IPv6 in networks of this size, and whoever has one can use any address in it.
const IPV6_PREFIX: u8 = 64;

/// The address of the client of a request, as an extension of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(IpAddr);

/// What counts as one address: an IPv4 address, or an IPv6 network.
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

/// The proxies whose word about the client is taken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// The client behind a connection: its peer or, if that is a trusted proxy, the last address in
    /// `X-Forwarded-For` that is none. Whatever stands before that address may be the client's own
    /// invention.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        let lines =
            headers.get_all(FORWARDED_FOR).into_iter().collect::<Vec<_>>().into_iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.contains(client) {
            // Without a readable address, the nearest proxy that is known stands for all its
            // clients.
            let Some(hop) = hops.next().and_then(address_of_hop) else { break };
            client = hop;
        }
        ClientAddress(client)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Some proxies write the port, too.
fn address_of_hop(text: &str) -> Option<IpAddr> {
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
        proxies.map(network_of_proxy).collect::<Result<_, _>>().map(Self)
    }
}

fn network_of_proxy(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical()));
    let network = text.parse().ok().or_else(address);
    network.ok_or_else(|| format!("must be addresses or networks such as 10.0.0.0/8, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, proxies: &str, forwarded_for: &[&'static str]) -> String {
        let lines =
            forwarded_for.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)));
        let headers = HeaderMap::from_iter(lines);
        let proxies: TrustedProxies = proxies.parse().unwrap();
        proxies.client_of(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.7", "", &["192.0.2.1"]), "203.0.113.7");
        assert_eq!(client("203.0.113.7", "10.0.0.0/8", &["192.0.2.1"]), "203.0.113.7");
        assert_eq!(client("10.1.2.3", "10.0.0.0/8", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:10.1.2.3", "10.0.0.0/8", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::1", "127.0.0.1, ::1", &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let proxies = "10.0.0.0/8";
        assert_eq!(client("10.0.0.1", proxies, &["8.8.8.8, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(
            client("10.0.0.1", proxies, &["8.8.8.8", "192.0.2.1,10.9.9.9", "10.8.8.8"]),
            "192.0.2.1"
        );
        assert_eq!(client("10.0.0.1", proxies, &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", proxies, &[]), "10.0.0.1");
    }

    #[test]
    fn ports_and_brackets_are_read_and_nonsense_ends_the_trail() {
        let proxies = "10.0.0.0/8";
        assert_eq!(client("10.0.0.1", proxies, &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", proxies, &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", proxies, &["\"[2001:db8::1]\""]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", proxies, &["192.0.2.1, unknown, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_every_ipv4_address_alone() {
        let network = |text: &str| ClientAddress(text.parse().unwrap()).network();
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::2"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn proxies_are_a_list_of_addresses_and_networks() {
        for bad in ["localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1;10.0.0.2"] {
            assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
        }
    }
}
