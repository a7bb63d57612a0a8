//! The objects of the API: asserts their members.

use serde_json::Value;

/// Asserts an object with exactly these members.
#[track_caller]
pub(crate) fn assert_members(object: &Value, expected: &[&str]) {
    let members = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    let mut found: Vec<&str> = members.keys().map(String::as_str).collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{object}");
}

#[track_caller]
pub(crate) fn assert_user(user: &Value) {
    let members =
        ["id", "username", "is_active", "display_name", "avatar_url", "created_at", "updated_at"];
    assert_members(user, &members);
    assert!(user["username"].is_string() && user["is_active"].is_boolean(), "{user}");
    for profile in ["display_name", "avatar_url"] {
        assert!(user[profile].is_null() || user[profile].is_string(), "{user}");
    }
    assert_id_and_times(user);
}

#[track_caller]
pub(crate) fn assert_invitation(invitation: &Value) {
    assert_members(invitation, &["id", "from_user", "to_user", "created_at", "updated_at"]);
    assert_user(&invitation["from_user"]);
    assert_user(&invitation["to_user"]);
    assert_id_and_times(invitation);
}

#[track_caller]
pub(crate) fn assert_contact(contact: &Value) {
    assert_members(contact, &["id", "other_user", "created_at", "updated_at"]);
    assert_user(&contact["other_user"]);
    assert_id_and_times(contact);
}

#[track_caller]
pub(crate) fn assert_room(room: &Value) {
    assert_members(
        room,
        &["id", "name", "owner", "is_system", "members", "created_at", "updated_at"],
    );
    for member in room["members"].as_array().unwrap() {
        assert_members(member, &["user", "joined_at"]);
        assert_user(&member["user"]);
        assert_time(&member["joined_at"]);
    }
    assert_eq!(room["is_system"].as_bool().unwrap(), room["name"].is_null(), "{room}");
    assert_eq!(room["is_system"].as_bool().unwrap(), room["owner"].is_null(), "{room}");
    if !room["owner"].is_null() {
        assert_user(&room["owner"]);
    }
    assert_id_and_times(room);
}

#[track_caller]
pub(crate) fn assert_message(message: &Value) {
    let members =
        ["id", "room_id", "sender", "content", "edited_at", "created_at", "updated_at", "seq"];
    assert_members(message, &members);
    assert_user(&message["sender"]);
    assert!(message["content"].is_string() && message["seq"].as_i64().unwrap() > 0, "{message}");
    if !message["edited_at"].is_null() {
        assert_time(&message["edited_at"]);
    }
    assert_id_and_times(message);
}

#[track_caller]
fn assert_id_and_times(object: &Value) {
    assert!(object["id"].as_i64().is_some_and(|id| id > 0), "{object}");
    assert_time(&object["created_at"]);
    assert_time(&object["updated_at"]);
}

/// RFC 3339 in UTC with a `Z` and six digits of a second: `2026-11-22T16:15:58.123456Z`.
#[track_caller]
fn assert_time(time: &Value) {
    let text = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    let pattern: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(pattern, "0000-00-00T00:00:00.000000Z", "{text}");
}
