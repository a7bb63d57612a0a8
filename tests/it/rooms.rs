//! Rooms and their members.

use parlance_client::{Method, Request};
use serde_json::{Value, json};

use crate::support::{
    Answer, Person, assert_members, assert_room, become_contacts, fresh_name, make_room, people,
    person, stack,
};

/// An id that no room has.
const NOWHERE: i64 = i64::MAX;

async fn create(owner: &Person, body: Value) -> Answer {
    owner.post("/v1/rooms", &body).await
}

async fn add(owner: &Person, room: i64, names: &[&str]) -> Answer {
    owner.post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": names})).await
}

async fn remove(owner: &Person, room: i64, name: &str) -> Answer {
    owner.delete(&format!("/v1/rooms/{room}/members/{name}")).await
}

async fn leave(member: &Person, room: i64) -> Answer {
    member.post_empty(&format!("/v1/rooms/{room}/leave")).await
}

async fn delete(owner: &Person, room: i64) -> Answer {
    owner.delete(&format!("/v1/rooms/{room}")).await
}

async fn show(person: &Person, room: i64) -> Answer {
    person.get(&format!("/v1/rooms/{room}")).await
}

/// The room without `skipped`, which must have these entries.
#[track_caller]
fn without_skipped(mut answer: Value, expected: &Value) -> Value {
    let skipped = answer.as_object_mut().unwrap().remove("skipped").unwrap();
    assert_eq!(&skipped, expected);
    assert_room(&answer);
    answer
}

fn member_ids(room: &Value) -> Vec<i64> {
    let members = room["members"].as_array().unwrap();
    members.iter().map(|member| member["user"]["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_new_room_has_its_owner_as_member() {
    let anna = person(stack().await).await;
    let room = without_skipped(create(&anna, json!({"name": "Den"})).await.ok(201), &json!([]));
    assert_eq!((&room["name"], &room["is_system"]), (&json!("Den"), &json!(false)));
    assert_eq!(room["owner"], anna.get("/v1/auth/me").await.ok(200));
    assert_eq!(member_ids(&room), [anna.id]);
    assert_eq!(room["created_at"], room["updated_at"]);
}

#[tokio::test]
async fn a_room_is_the_same_wherever_it_appears() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    become_contacts(&anna, &ben).await;
    let answer =
        create(&anna, json!({"name": "Den", "member_usernames": [ben.name]})).await.ok(201);
    let room = without_skipped(answer, &json!([]));
    assert_eq!(member_ids(&room), [anna.id, ben.id]);
    let id = room["id"].as_i64().unwrap();
    for person in [&anna, &anna.at(stack, 1), &ben, &ben.at(stack, 1)] {
        assert_eq!(show(person, id).await.ok(200), room);
        let listed = person.get("/v1/rooms").await.ok(200);
        assert_members(&listed, &["rooms"]);
        assert!(listed["rooms"].as_array().unwrap().contains(&room), "{listed}");
    }
    let unchanged = without_skipped(
        add(&anna, id, &[&ben.name]).await.ok(200),
        &skipped(&ben.name, "already_a_member"),
    );
    assert_eq!(unchanged, room);
}

fn skipped(name: &str, reason: &str) -> Value {
    json!([{"username": name, "reason": reason}])
}

#[tokio::test]
async fn a_name_is_1_to_255_characters_as_sent() {
    let anna = person(stack().await).await;
    create(&anna, json!({"name": ""})).await.invalid(&["body.name string_too_short"]);
    create(&anna, json!({"name": "ä".repeat(256)})).await.invalid(&["body.name string_too_long"]);
    for name in [" ", "  Den \n", "e\u{301}", "<b>'\"\\</b>", "\u{202e}RTL", &"😀".repeat(255)] {
        let room = create(&anna, json!({"name": name})).await.ok(201);
        assert_eq!(show(&anna, room["id"].as_i64().unwrap()).await.ok(200)["name"], name);
    }
}

#[tokio::test]
async fn the_list_has_only_the_rooms_of_the_caller() {
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    assert_eq!(anna.get("/v1/rooms").await.ok(200), json!({"rooms": []}));
    let shared = make_room(&anna, &[&ben]).await;
    make_room(&ben, &[&carl]).await;
    let listed = anna.at(stack, 1).get("/v1/rooms").await.ok(200);
    let rooms = listed["rooms"].as_array().unwrap();
    rooms.iter().for_each(assert_room);
    let kinds: Vec<bool> = rooms.iter().map(|room| room["is_system"].as_bool().unwrap()).collect();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&true) && rooms.iter().any(|room| room["id"] == shared), "{listed}");
}

#[tokio::test]
async fn a_system_room_has_two_members_and_neither_name_nor_owner() {
    let [anna, ben] = people(stack().await).await;
    let id = become_contacts(&anna, &ben).await;
    let room = show(&ben, id).await.ok(200);
    assert_room(&room);
    assert_eq!(
        (&room["name"], &room["owner"], &room["is_system"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    let mut members = member_ids(&room);
    members.sort_unstable();
    let mut expected = [anna.id, ben.id];
    expected.sort_unstable();
    assert_eq!(members, expected);
}

#[tokio::test]
async fn skipped_usernames_are_listed_in_order_with_a_reason() {
    let [anna, ben, carl] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    let unknown = fresh_name();
    let names = [
        carl.name.as_str(),
        &unknown,
        &ben.name,
        "not a name",
        &anna.name,
        &ben.name.to_uppercase(),
    ];
    let expected = json!([
        {"username": carl.name, "reason": "not_a_contact"},
        {"username": unknown, "reason": "user_not_found"},
        {"username": "not a name", "reason": "user_not_found"},
        {"username": anna.name, "reason": "already_a_member"},
    ]);
    let answer = create(&anna, json!({"name": "Den", "member_usernames": names})).await.ok(201);
    let room = without_skipped(answer, &expected);
    assert_eq!(member_ids(&room), [anna.id, ben.id]);
}

#[tokio::test]
async fn a_name_given_twice_is_skipped_once() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let unknown = fresh_name();
    let names = [ben.name.as_str(), &unknown, &ben.name.to_uppercase(), &unknown, &ben.name];
    let expected = json!([
        {"username": ben.name, "reason": "not_a_contact"},
        {"username": unknown, "reason": "user_not_found"},
    ]);
    without_skipped(add(&anna, room, &names).await.ok(200), &expected);
}

#[tokio::test]
async fn only_contacts_of_the_owner_are_added() {
    let [anna, ben, carl] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    become_contacts(&ben, &carl).await;
    without_skipped(
        add(&anna, room, &[&carl.name]).await.ok(200),
        &skipped(&carl.name, "not_a_contact"),
    );
    anna.post("/v1/contacts/invite", &json!({"username": carl.name})).await.ok(200);
    without_skipped(
        add(&anna, room, &[&carl.name]).await.ok(200),
        &skipped(&carl.name, "not_a_contact"),
    );
}

#[tokio::test]
async fn only_members_see_a_room() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    show(&ben, NOWHERE).await.refused(404, "room_not_found");
    show(&ben, room).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn adding_members_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let (room, system) = (make_room(&anna, &[&ben]).await, become_contacts(&ben, &carl).await);
    add(&ben, NOWHERE, &[]).await.invalid(&["body.usernames too_short"]);
    add(&carl, NOWHERE, &[&ben.name]).await.refused(404, "room_not_found");
    add(&anna, system, &[&carl.name]).await.refused(403, "system_room");
    add(&ben, system, &[&anna.name]).await.refused(403, "system_room");
    add(&ben, room, &[&carl.name]).await.refused(403, "not_the_owner");
    add(&carl, room, &["unknown user"]).await.refused(403, "not_the_owner");
}

#[tokio::test]
async fn only_a_change_updates_updated_at() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let before = show(&anna, room).await.ok(200);
    add(&anna, room, &[&ben.name, &anna.name]).await.ok(200);
    assert_eq!(show(&anna, room).await.ok(200), before);

    become_contacts(&anna, &ben).await;
    let after = add(&anna, room, &[&ben.name]).await.ok(200);
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str(), "{after}");
    assert_eq!(after["created_at"], before["created_at"]);
    remove(&anna, room, &ben.name).await.ok(204);
    assert!(show(&anna, room).await.ok(200)["updated_at"].as_str() > after["updated_at"].as_str());
}

#[tokio::test]
async fn leaving_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let (room, system) = (make_room(&anna, &[&ben]).await, become_contacts(&anna, &carl).await);
    leave(&carl, NOWHERE).await.refused(404, "room_not_found");
    leave(&ben, system).await.refused(403, "system_room");
    leave(&carl, system).await.refused(403, "system_room");
    leave(&carl, room).await.refused(404, "not_a_member");
    leave(&anna, room).await.refused(403, "owner_cannot_leave");
}

#[tokio::test]
async fn a_user_who_left_is_no_member() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let answer = leave(&ben, room).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    show(&ben.at(stack, 1), room).await.refused(403, "not_a_member");
    leave(&ben, room).await.refused(404, "not_a_member");
    assert_eq!(member_ids(&show(&anna.at(stack, 1), room).await.ok(200)), [anna.id]);
    assert_eq!(ben.get("/v1/rooms").await.ok(200)["rooms"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let (room, system) = (make_room(&anna, &[&ben]).await, become_contacts(&anna, &carl).await);
    delete(&carl, NOWHERE).await.refused(404, "room_not_found");
    for person in [&anna, &ben, &carl] {
        delete(person, system).await.refused(403, "system_room");
    }
    delete(&ben, room).await.refused(403, "not_the_owner");
    delete(&carl, room).await.refused(403, "not_the_owner");
}

#[tokio::test]
async fn deleting_a_room_deletes_its_messages() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = format!("/v1/messages/{}", ben.send_message(room, "Hello").await["id"]);
    let answer = delete(&anna, room).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    for person in [&anna.at(stack, 1), &ben] {
        show(person, room).await.refused(404, "room_not_found");
        leave(person, room).await.refused(404, "room_not_found");
        delete(person, room).await.refused(404, "room_not_found");
        add(person, room, &[&ben.name]).await.refused(404, "room_not_found");
        remove(person, room, &ben.name).await.refused(404, "room_not_found");
        let history = person.get(&format!("/v1/messages/rooms/{room}/history")).await;
        history.refused(404, "room_not_found");
        let sent =
            person.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "x"})).await;
        sent.refused(404, "room_not_found");
        person.patch(&message, &json!({"content": "x"})).await.refused(404, "message_not_found");
        person.delete(&message).await.refused(404, "message_not_found");
        let listed = person.get("/v1/rooms").await.ok(200);
        assert!(listed["rooms"].as_array().unwrap().iter().all(|listed| listed["id"] != room));
    }
}

#[tokio::test]
async fn removing_a_member_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let (room, system) = (make_room(&anna, &[&ben]).await, become_contacts(&anna, &carl).await);
    let unknown = fresh_name();
    remove(&carl, NOWHERE, &unknown).await.refused(404, "room_not_found");
    remove(&ben, system, &unknown).await.refused(403, "system_room");
    remove(&anna, system, &carl.name).await.refused(403, "system_room");
    remove(&ben, room, &unknown).await.refused(403, "not_the_owner");
    remove(&ben, room, &anna.name).await.refused(403, "not_the_owner");
    remove(&anna, room, &unknown).await.refused(404, "user_not_found");
    remove(&anna, room, "a%20b").await.refused(404, "user_not_found");
    remove(&anna, room, &carl.name).await.refused(404, "not_a_member");
    remove(&anna, room, &anna.name).await.refused(403, "owner_cannot_leave");
}

#[tokio::test]
async fn a_member_is_removed_by_a_name_in_any_case() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let answer = remove(&anna, room, &ben.name.to_uppercase()).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    show(&ben, room).await.refused(403, "not_a_member");
    remove(&anna, room, &ben.name).await.refused(404, "not_a_member");
}

#[tokio::test]
async fn every_later_request_sees_a_membership_change() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    become_contacts(&anna, &ben).await;
    let room = make_room(&anna, &[]).await;
    let (history, send) =
        (format!("/v1/messages/rooms/{room}/history"), format!("/v1/messages/rooms/{room}"));
    for round in 0..10 {
        let elsewhere = ben.at(stack, (round + 1) % 2);
        let owner = anna.at(stack, round % 2);
        add(&owner, room, &[&ben.name]).await.ok(200);
        elsewhere.post(&send, &json!({"content": "I am in"})).await.ok(201);
        elsewhere.get(&history).await.ok(200);
        show(&elsewhere, room).await.ok(200);

        remove(&owner, room, &ben.name).await.ok(204);
        elsewhere.post(&send, &json!({"content": "I am out"})).await.refused(403, "not_a_member");
        elsewhere.get(&history).await.refused(403, "not_a_member");
        show(&elsewhere, room).await.refused(403, "not_a_member");
    }
}

#[tokio::test]
async fn input_of_rooms_is_checked() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    create(&anna, json!({"member_usernames": [1, "x", null]})).await.invalid(&[
        "body.name missing",
        "body.member_usernames.0 string_type",
        "body.member_usernames.2 string_type",
    ]);
    create(&anna, json!({"name": null, "member_usernames": null}))
        .await
        .invalid(&["body.name string_type", "body.member_usernames list_type"]);
    let members = format!("/v1/rooms/{room}/members");
    anna.post(&members, &json!({})).await.invalid(&["body.usernames missing"]);
    anna.post(&members, &json!({"usernames": "x"})).await.invalid(&["body.usernames list_type"]);
    anna.post(&members, &json!({"usernames": []})).await.invalid(&["body.usernames too_short"]);
    anna.post(&members, &json!({"usernames": ["x", {}]}))
        .await
        .invalid(&["body.usernames.1 string_type"]);
    create(&anna, json!({"name": "a\0b"})).await.invalid(&["body.name value_error"]);
}

#[tokio::test]
async fn a_refused_room_is_not_stored() {
    let anna = person(stack().await).await;
    create(&anna, json!({"name": "Den", "member_usernames": [1]}))
        .await
        .invalid(&["body.member_usernames.0 string_type"]);
    let request = Request::new(Method::POST, "/v1/rooms").body(r#"{"name": "Den", "x": 1e999}"#);
    anna.send(request.header("content-type", "application/json")).await;
    assert_eq!(anna.get("/v1/rooms").await.ok(200), json!({"rooms": []}));
}
