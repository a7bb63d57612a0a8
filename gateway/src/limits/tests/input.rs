use super::*;

const LARGE: usize = 64 << 10;
const COUNTED: usize = LARGE - FREE_BYTES;

fn shares(limits: &InputLimits, peer: &str) -> impl Iterator<Item = InputShare> {
    let (limits, peer) = (limits.clone(), peer.parse().unwrap());
    let proxies = "10.0.0.0/8".parse().unwrap();
    std::iter::repeat_with(move || limits.share_of_peer(peer, &proxies))
}

/// Takes large shares until one is refused.
fn take_all(limits: &InputLimits, peer: &str) -> (Vec<InputShare>, ErrorCode) {
    let mut taken = Vec::new();
    for mut share in shares(limits, peer) {
        match share.grow_to(LARGE) {
            Ok(()) => taken.push(share),
            Err(code) => return (taken, code),
        }
    }
    unreachable!()
}

#[test]
fn small_requests_are_never_refused() {
    let limits = InputLimits::default();
    let (_taken, _) = take_all(&limits, "10.1.1.1");
    let mut small = shares(&limits, "192.0.2.1").next().unwrap();
    assert_eq!(small.grow_to(FREE_BYTES), Ok(()));
    assert_eq!(small.grow_to(LARGE), Err(ErrorCode::Unavailable));
}

#[test]
fn an_address_with_many_large_requests_is_refused_and_others_are_not() {
    let limits = InputLimits::default();
    let (taken, code) = take_all(&limits, "192.0.2.1");
    assert_eq!((taken.len(), code), (MAX_BYTES_PER_ADDRESS / COUNTED, ErrorCode::RateLimited));
    let mut other = shares(&limits, "192.0.2.2").next().unwrap();
    assert_eq!(other.grow_to(LARGE), Ok(()));
    drop(taken);
    assert_eq!(take_all(&limits, "192.0.2.1").0.len(), MAX_BYTES_PER_ADDRESS / COUNTED);
}

#[test]
fn a_trusted_proxy_is_bounded_with_all_others() {
    let limits = InputLimits::default();
    let (taken, code) = take_all(&limits, "10.1.1.1");
    assert_eq!((taken.len(), code), (MAX_BYTES / COUNTED, ErrorCode::Unavailable));
}

#[test]
fn a_share_counts_once_however_it_grows_and_is_given_back() {
    let limits = InputLimits::default();
    let mut share = shares(&limits, "192.0.2.1").next().unwrap();
    for bytes in [1, FREE_BYTES, FREE_BYTES + 5, 20_000, 20_000, LARGE] {
        assert_eq!(share.grow_to(bytes), Ok(()));
    }
    assert_eq!(lock(&limits.used).by_all, COUNTED);
    share.clear();
    assert_eq!(lock(&limits.used).by_all, 0);
    assert!(lock(&limits.used).by_address.is_empty());
    drop(share);
    assert_eq!(lock(&limits.used).by_all, 0);
}
