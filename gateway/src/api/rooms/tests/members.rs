use parlance_core::{Timestamp, UserId};

use super::*;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn user(id: i64) -> Arc<User> {
    let at = Timestamp::from_micros(0);
    let username = "user".to_owned();
    Arc::new(User::new(UserId::new(id), username, true, at, at))
}

#[test]
fn a_name_given_twice_counts_once_in_any_case() {
    assert_eq!(
        without_duplicates(&names(&["Bob", "bob", "x!", "X!", "x!"])),
        names(&["Bob", "x!", "X!"])
    );
}

#[test]
fn skipped_users_keep_the_order_of_the_request() {
    let found = HashMap::from([("bob".to_owned(), user(2)), ("eve".to_owned(), user(3))]);
    let candidates = Candidates::new(names(&["eve", "nobody", "bob"]), &found);
    assert_eq!(candidates.user_ids(), [3, 2]);

    let by_rooms =
        [rooms::Skipped { user_id: 3, reason: rooms::SkipReason::AlreadyAMember.into() }];
    let skipped = candidates.skipped(&by_rooms);
    let expected = [("eve", SkipReason::AlreadyAMember), ("nobody", SkipReason::UserNotFound)]
        .map(|(name, reason)| Skipped { username: name.to_owned(), reason });
    assert_eq!(skipped, expected);
}
