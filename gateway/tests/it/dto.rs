//! The JSON objects of the API.

use parlance_core::{Timestamp, UserId};
use parlance_gateway::api::dto::{Member, User};
use serde_json::json;

#[test]
fn a_user_has_the_same_members_inside_other_objects() {
    let [early, late] = [0, 1_000_000].map(Timestamp::from_micros);
    let user = User::new(UserId::new(7), "Änn\"".to_owned(), true, early, late)
        .with_profile(Some("Änn 🦆".to_owned()), None);
    let expected = json!({
        "id": 7,
        "username": "Änn\"",
        "is_active": true,
        "created_at": "1970-01-01T00:00:00.000000Z",
        "updated_at": "1970-01-01T00:00:01.000000Z",
        "display_name": "Änn 🦆",
        "avatar_url": null,
    });
    let member = Member { user: &user, joined_at: early };
    assert_eq!(serde_json::to_value(&user).unwrap(), expected);
    assert_eq!(serde_json::to_value(&member).unwrap()["user"], expected);
}
