//! `devstack up`.

use super::CONVERSATION;

#[test]
fn the_readme_shows_the_same_commands() {
    let readme = include_str!("../../../../../README.md");
    assert!(readme.contains(CONVERSATION));
}
