//! Temporary folders.

use std::fs;

use parlance_devstack::TemporaryFolder;

#[test]
fn folders_without_a_running_owner_are_removed() {
    let owned = TemporaryFolder::new().unwrap();
    let left_behind = owned.path().with_extension("left");
    fs::create_dir(&left_behind).unwrap();
    fs::write(left_behind.join("lock"), "").unwrap();

    let _next = TemporaryFolder::new().unwrap();

    assert!(owned.path().exists());
    assert!(!left_behind.exists());
}
