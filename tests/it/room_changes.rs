//! Renaming a room and handing it over.

use serde_json::{Value, json};

use crate::support::{
    Answer, Person, assert_room, become_contacts, fresh_name, make_room, people, person, stack,
};

/// An id that no room has.
const NOWHERE: i64 = i64::MAX;

async fn rename(person: &Person, room: i64, body: Value) -> Answer {
    person.patch(&format!("/v1/rooms/{room}"), &body).await
}

async fn hand_over(person: &Person, room: i64, username: &str) -> Answer {
    person.put(&format!("/v1/rooms/{room}/owner"), &json!({"username": username})).await
}

async fn show(person: &Person, room: i64) -> Value {
    person.get(&format!("/v1/rooms/{room}")).await.ok(200)
}

#[tokio::test]
async fn the_owner_renames_the_room() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let before = show(&anna, room).await;
    let renamed = rename(&anna, room, json!({"name": " Den \n"})).await.ok(200);
    assert_room(&renamed);
    assert_eq!(renamed["name"], " Den \n", "as sent");
    assert!(renamed["updated_at"].as_str() > before["updated_at"].as_str(), "{renamed}");
    assert_eq!(show(&ben.at(stack, 1), room).await, renamed);
    let again = rename(&anna.at(stack, 1), room, json!({"name": " Den \n"})).await.ok(200);
    assert_eq!(again, renamed, "a call that changes nothing leaves updated_at alone");
}

#[tokio::test]
async fn a_new_name_follows_the_rules_of_the_first_one() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    for (body, expected) in [
        (json!({}), "body.name missing"),
        (json!({"name": null}), "body.name string_type"),
        (json!({"name": 1}), "body.name string_type"),
        (json!({"name": ""}), "body.name string_too_short"),
        (json!({"name": "ä".repeat(256)}), "body.name string_too_long"),
        (json!([]), "body value_error"),
    ] {
        rename(&anna, room, body.clone()).await.invalid(&[expected]);
        rename(&anna, NOWHERE, body).await.invalid(&[expected]);
    }
    rename(&anna, room, json!({"name": "😀".repeat(255)})).await.ok(200);
}

#[tokio::test]
async fn renaming_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let system_room = become_contacts(&anna, &ben).await;
    let names = json!({"name": "Den", "member_usernames": [ben.name]});
    let room = anna.post("/v1/rooms", &names).await.ok(201)["id"].as_i64().unwrap();
    let body = json!({"name": "x"});
    rename(&anna, NOWHERE, body.clone()).await.refused(404, "room_not_found");
    rename(&anna, system_room, body.clone()).await.refused(403, "system_room");
    rename(&carl, system_room, body.clone()).await.refused(403, "system_room");
    rename(&ben, room, body.clone()).await.refused(403, "not_the_owner");
    rename(&carl, room, body).await.refused(403, "not_the_owner");
}

#[tokio::test]
async fn the_new_owner_has_the_room_and_the_old_one_stays_a_member() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let before = show(&anna, room).await;
    let unchanged = hand_over(&anna, room, &anna.name.to_uppercase()).await.ok(200);
    assert_eq!(unchanged, before, "oneself changes nothing");
    let handed = hand_over(&anna, room, &ben.name.to_uppercase()).await.ok(200);
    assert_room(&handed);
    assert_eq!(handed["owner"], ben.get("/v1/auth/me").await.ok(200));
    assert_eq!(handed["members"].as_array().unwrap().len(), 2);
    for member in before["members"].as_array().unwrap() {
        assert!(handed["members"].as_array().unwrap().contains(member), "{handed}");
    }
    for device in [&anna.at(stack, 1), &ben, &ben.at(stack, 1)] {
        assert_eq!(show(device, room).await, handed);
    }
    rename(&anna.at(stack, 1), room, json!({"name": "x"})).await.refused(403, "not_the_owner");
    ben.post_empty(&format!("/v1/rooms/{room}/leave")).await.refused(403, "owner_cannot_leave");
    anna.post_empty(&format!("/v1/rooms/{room}/leave")).await.ok(204);
    ben.at(stack, 1).delete(&format!("/v1/rooms/{room}")).await.ok(204);
}

#[tokio::test]
async fn handing_over_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let system_room = become_contacts(&anna, &ben).await;
    let names = json!({"name": "Den", "member_usernames": [ben.name]});
    let room = anna.post("/v1/rooms", &names).await.ok(201)["id"].as_i64().unwrap();
    let path = format!("/v1/rooms/{NOWHERE}/owner");
    anna.put(&path, &json!({})).await.invalid(&["body.username missing"]);
    anna.put(&path, &json!({"username": 1})).await.invalid(&["body.username string_type"]);
    let unknown = fresh_name();
    hand_over(&anna, NOWHERE, &unknown).await.refused(404, "room_not_found");
    hand_over(&anna, system_room, &unknown).await.refused(403, "system_room");
    hand_over(&ben, room, &unknown).await.refused(403, "not_the_owner");
    hand_over(&carl, room, &unknown).await.refused(403, "not_the_owner");
    hand_over(&anna, room, &unknown).await.refused(404, "user_not_found");
    hand_over(&anna, room, "a b").await.refused(404, "user_not_found");
    hand_over(&anna, room, &carl.name).await.refused(404, "not_a_member");
    assert_eq!(show(&anna, room).await["owner"]["id"], anna.id);
}

#[tokio::test]
async fn a_handed_over_room_obeys_its_new_owner_alone() {
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    let room = make_room(&anna, &[&ben, &carl]).await;
    let text = json!({"content": "hello"});
    let sent = anna.post(&format!("/v1/messages/rooms/{room}"), &text).await.ok(201);
    let message = format!("/v1/messages/{}", sent["id"]);
    ben.delete(&message).await.refused(403, "not_the_sender");
    hand_over(&anna, room, &ben.name).await.ok(200);
    ben.at(stack, 1).delete(&message).await.ok(204);
    let sent = carl.post(&format!("/v1/messages/rooms/{room}"), &text).await.ok(201);
    let message = format!("/v1/messages/{}", sent["id"]);
    anna.at(stack, 1).delete(&message).await.refused(403, "not_the_sender");
    let path = format!("/v1/rooms/{room}/members/{}", carl.name);
    anna.delete(&path).await.refused(403, "not_the_owner");
    ben.delete(&path).await.ok(204);
    ben.delete(&format!("/v1/rooms/{room}/members/{}", anna.name)).await.ok(204);
    hand_over(&ben, room, &anna.name).await.refused(404, "not_a_member");
}
