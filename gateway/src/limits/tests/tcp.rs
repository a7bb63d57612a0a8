use super::*;

fn limits(all: u32, per_address: u32) -> TcpLimits {
    let config =
        TcpConfig { max_tcp_connections: all, max_tcp_connections_per_address: per_address };
    TcpLimits::new(&config, "10.0.0.0/8".parse().unwrap())
}

/// Opens a connection from each address. Returns the ones that are accepted.
fn open(limits: &TcpLimits, peers: &[&str]) -> Vec<TcpPermit> {
    peers.iter().filter_map(|peer| limits.accept(peer.parse().unwrap())).collect()
}

#[test]
fn an_address_has_its_own_share_and_gets_it_back() {
    let limits = limits(100, 2);
    let first = open(&limits, &["192.0.2.1", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"]);
    assert_eq!(first.len(), 2);
    assert_eq!(open(&limits, &["192.0.2.2"]).len(), 1);
    drop(first);
    assert_eq!(open(&limits, &["192.0.2.1"]).len(), 1);
}

#[test]
fn an_ipv6_network_of_64_bits_counts_as_one_address() {
    let limits = limits(100, 1);
    assert_eq!(open(&limits, &["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]).len(), 2);
}

#[test]
fn a_trusted_proxy_is_bounded_by_the_total_only() {
    let limits = limits(3, 1);
    let open_now = open(&limits, &["10.1.1.1", "10.1.1.1", "::ffff:10.1.1.1", "10.1.1.1"]);
    assert_eq!(open_now.len(), 3);
    assert!(open(&limits, &["192.0.2.1"]).is_empty());
    drop(open_now);
    // A refusal in all takes nothing from the address.
    assert_eq!(open(&limits, &["192.0.2.1"]).len(), 1);
}
