use super::*;

#[test]
fn some_open_files_are_kept_for_what_is_no_client() {
    assert_eq!(possible_connections(Some(20_256)), 20_000);
    assert_eq!(possible_connections(Some(1_024)), 768);
    assert_eq!(possible_connections(Some(100)), 50);
    assert_eq!(possible_connections(None), u32::MAX);
    assert_eq!(possible_connections(Some(u64::MAX)), u32::MAX - 256);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let limit = raise();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert_eq!((limit, current), (maximum, maximum));
    assert_eq!(bound(7), 7);
}
