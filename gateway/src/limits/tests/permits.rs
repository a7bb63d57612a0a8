use super::*;

#[test]
fn each_key_has_its_own_permits_and_gets_them_back() {
    let permits = Permits::new(2);
    let first = permits.take("a").unwrap();
    let _second = permits.take("a").unwrap();
    assert!(permits.take("a").is_none());
    assert!(permits.take("b").is_some());
    drop(first);
    assert!(permits.take("a").is_some());
}

#[test]
fn keys_without_a_permit_take_no_memory() {
    let permits = Permits::new(1);
    let permit = permits.take("a");
    drop((permits.take("a"), permits.take("b")));
    assert_eq!(lock(&permits.taken).len(), 1);
    drop(permit);
    assert!(lock(&permits.taken).is_empty());
}
