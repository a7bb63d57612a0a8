//! What users show of themselves.

use parlance_client::endpoints;
use serde_json::{Value, json};

use crate::support::{
    Answer, Person, RECOVERY, assert_user, become_contacts, eventually, people, person, stack,
};

async fn change(person: &Person, body: Value) -> Answer {
    person.api.send(endpoints::update_profile(&person.token, &body)).await
}

async fn me(person: &Person) -> Value {
    person.get("/v1/auth/me").await.ok(200)
}

fn profile(user: &Value) -> [&Value; 2] {
    [&user["display_name"], &user["avatar_url"]]
}

#[tokio::test]
async fn a_new_user_has_no_profile() {
    let user = me(&person(stack().await).await).await;
    assert_user(&user);
    assert_eq!(profile(&user), [&Value::Null, &Value::Null]);
}

#[tokio::test]
async fn null_clears_and_absent_keeps() {
    let stack = stack().await;
    let anna = person(stack).await;
    let before = me(&anna).await;
    assert_eq!(change(&anna, json!({})).await.ok(200), before);
    let avatar = json!("https://example.org/a.png?x=1#y");
    let both = json!({"display_name": " Anna  A. ", "avatar_url": avatar});
    let user = change(&anna, both.clone()).await.ok(200);
    assert_user(&user);
    assert_eq!(profile(&user), [&json!(" Anna  A. "), &avatar]);
    assert!(user["updated_at"].as_str() > before["updated_at"].as_str(), "{user}");
    assert_eq!(change(&anna.at(stack, 1), both).await.ok(200), user, "nothing changes");
    let cleared = change(&anna, json!({"display_name": null})).await.ok(200);
    assert_eq!(profile(&cleared), [&Value::Null, &avatar]);
    let cleared = change(&anna, json!({"avatar_url": null, "more": 1})).await.ok(200);
    assert_eq!(profile(&cleared), [&Value::Null, &Value::Null]);
    assert_eq!(me(&anna).await, cleared, "at this gateway at once");
}

#[tokio::test]
async fn a_display_name_is_1_to_64_characters_and_can_be_seen() {
    let anna = person(stack().await).await;
    for name in ["a", "😀", " x ", &"ä".repeat(64), "<b>'\"\\</b>", "e\u{301}"] {
        let user = change(&anna, json!({"display_name": name})).await.ok(200);
        assert_eq!(user["display_name"], name, "kept as sent");
    }
    for (name, kind) in [
        (json!(""), "string_too_short"),
        (json!("ä".repeat(65)), "string_too_long"),
        (json!(1), "string_type"),
        (json!([]), "string_type"),
        (json!(" "), "value_error"),
        (json!("\u{200b}"), "value_error"),
        (json!("\u{3164}\u{a0}"), "value_error"),
        (json!("\u{2800}"), "value_error"),
        (json!("\u{301}"), "value_error"),
        (json!("a\nb"), "value_error"),
        (json!("a\0"), "value_error"),
        (json!("a\u{85}"), "value_error"),
    ] {
        let answer = change(&anna, json!({"display_name": name})).await;
        answer.invalid(&[&format!("body.display_name {kind}")]);
    }
}

#[tokio::test]
async fn an_avatar_is_an_absolute_https_url() {
    let anna = person(stack().await).await;
    let longest = format!("https://example.org/{}", "x".repeat(512 - 20));
    for url in
        ["https://example.org", "HTTPS://Example.org:8443/%20?q", "https://exämple.org/ä", &longest]
    {
        let user = change(&anna, json!({"avatar_url": url})).await.ok(200);
        assert_eq!(user["avatar_url"], url, "kept as sent");
    }
    let too_long = format!("{longest}x");
    for (url, kind) in [
        (json!(""), "string_too_short"),
        (json!(too_long), "string_too_long"),
        (json!({}), "string_type"),
        (json!("/a.png"), "value_error"),
        (json!("http://example.org/a.png"), "value_error"),
        (json!("javascript:alert(1)"), "value_error"),
        (json!("https:///x"), "value_error"),
        (json!("https://@/"), "value_error"),
        (json!("https://:80"), "value_error"),
        (json!("https://example.org/a b"), "value_error"),
        (json!("https://example.org/\"><script>"), "value_error"),
        (json!("https://example.org/\u{3000}"), "value_error"),
    ] {
        let answer = change(&anna, json!({"avatar_url": url})).await;
        answer.invalid(&[&format!("body.avatar_url {kind}")]);
    }
    let both = change(&anna, json!({"display_name": "", "avatar_url": 1})).await;
    both.invalid(&["body.display_name string_too_short", "body.avatar_url string_type"]);
}

#[tokio::test]
async fn a_change_is_seen_everywhere_at_every_gateway() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = become_contacts(&anna, &ben).await;
    anna.send_message(room, "x").await;
    let bens = [ben.at(stack, 0), ben.at(stack, 1)];
    // Each gateway has the old profile in its cache, also in a page of history.
    for ben in &bens {
        for _ in 0..2 {
            assert_eq!(seen(ben, room, &anna).await, [Value::Null, Value::Null, Value::Null]);
        }
    }
    for name in [json!("Anna"), json!("Anna A."), Value::Null] {
        change(&anna.at(stack, 1), json!({"display_name": name})).await.ok(200);
        for ben in &bens {
            eventually(RECOVERY, "the new profile is seen everywhere", async || {
                seen(ben, room, &anna).await.iter().all(|found| *found == name)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn events_on_sockets_show_the_profile() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = become_contacts(&anna, &ben).await;
    let mut socket = ben.at(stack, 1).subscribed(room).await;
    let mut typist = anna.subscribed(room).await;
    let id = anna.send_message(room, "x").await["id"].clone();
    assert_eq!(socket.next().await["message"]["sender"]["display_name"], Value::Null);

    let avatar = "https://example.org/a.png";
    change(&anna, json!({"display_name": "Anna", "avatar_url": avatar})).await.ok(200);
    let expected = me(&anna).await;
    eventually(RECOVERY, "the new profile is seen", async || {
        ben.at(stack, 1).history(room).await[0]["sender"] == expected
    })
    .await;
    anna.send_message(room, "y").await;
    assert_eq!(socket.next().await["message"]["sender"], expected);
    anna.patch(&format!("/v1/messages/{id}"), &json!({"content": "z"})).await.ok(200);
    assert_eq!(socket.next().await["message"]["sender"], expected);
    typist.send(&json!({"type": "typing", "room_id": room})).await;
    assert_eq!(socket.next().await["user"], expected);
}

/// The display name of a user as the contacts, the room and its history show it.
async fn seen(by: &Person, room: i64, user: &Person) -> [Value; 3] {
    let contacts = by.get("/v1/contacts").await.ok(200);
    let shown = by.get(&format!("/v1/rooms/{room}")).await.ok(200);
    let members = shown["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["user"]["id"] == user.id).unwrap();
    let history = by.history(room).await;
    [&contacts["contacts"][0]["other_user"], &member["user"], &history[0]["sender"]]
        .map(|user| user["display_name"].clone())
}
