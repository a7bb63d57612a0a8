//! Free ports.

use super::*;

#[test]
fn a_port_is_reserved_once() {
    let port = free_port().unwrap();
    assert!(is_free(Ipv4Addr::LOCALHOST.into(), port));
    assert!(!reserve(&env::temp_dir().join("parlance-ports"), port));
}
