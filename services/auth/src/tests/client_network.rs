use super::*;

fn are_one_client(one: &str, other: &str) -> bool {
    ClientNetwork::from_address(one) == ClientNetwork::from_address(other)
}

#[test]
fn an_ipv4_address_is_a_client() {
    assert!(are_one_client("192.0.2.1", "192.0.2.1"));
    assert!(are_one_client("192.0.2.1", "::ffff:192.0.2.1"));
    assert!(!are_one_client("192.0.2.1", "192.0.2.2"));
}

#[test]
fn an_ipv6_network_of_64_bits_is_a_client() {
    assert!(are_one_client("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert!(!are_one_client("2001:db8:0:1::1", "2001:db8:0:2::1"));
}

#[test]
fn requests_without_a_readable_address_are_one_client() {
    assert!(are_one_client("", "unix socket"));
    assert!(!are_one_client("", "0.0.0.0"));
    assert!(!are_one_client("", "::"));
}

#[test]
fn a_network_is_stored_by_its_first_address() {
    let stored = |address: &str| ClientNetwork::from_address(address).to_string();
    assert_eq!(stored("192.0.2.1"), "192.0.2.1");
    assert_eq!(stored("2001:db8:0:1::1"), "2001:db8:0:1::");
    assert_eq!(stored(""), "unknown");
}
