//! Outages of one service.

use std::time::Instant;

use serde_json::json;

use super::calls::{DEADLINE, history_path, recovers, register, send_until_acked, unavailable};
use crate::support::{
    RECOVERY, RESTART, become_contacts, event_seq, eventually, make_room, on_stack, people, person,
};
use crate::ws::{message_to, message_with_ref};

#[tokio::test]
async fn without_auth_messages_flow_on_open_sockets_and_tokens_are_refused_after_a_while() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let (mut annas, mut bens) = (anna.subscribed(room).await, ben.subscribed(room).await);
        anna.send_message(room, "Before").await;
        assert_eq!((event_seq(&annas.next().await), event_seq(&bens.next().await)), (1, 1));
        stack.process("auth", 0).kill().await.unwrap();

        unavailable(register(&anna, "newuser")).await;
        unavailable(
            anna.api.post(
                "/v1/auth/login",
                &json!({"username": anna.name, "password": "securepass123"}),
            ),
        )
        .await;
        // What has ended meanwhile is not known, so any session may have.
        eventually(RECOVERY, "tokens are refused", async || {
            anna.get("/v1/rooms").await.status == 503
        })
        .await;
        for path in ["/v1/rooms", "/v1/contacts", &history_path(room)] {
            unavailable(anna.get(path)).await;
        }
        annas.send(&message_to(room, "Meanwhile")).await;
        assert_eq!(annas.next().await["message"]["sender"]["username"], *anna.name);
        assert_eq!(bens.next().await["message"]["content"], "Meanwhile");
        assert_eq!(anna.get("/v1/healthz").await.status, 200);

        stack.process("auth", 0).restart(RESTART).await.unwrap();
        eventually(RECOVERY, "registering works again", async || {
            [201, 400].contains(&register(&anna, "newuser").await.status.as_u16())
        })
        .await;
        // The stream is opened again a moment later.
        recovers("/v1/auth/me", &anna).await;
        person(stack).await.get("/v1/auth/me").await.ok(200);
    })
    .await;
}

#[tokio::test]
async fn without_contacts_rooms_and_messages_work() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        stack.process("contacts", 0).kill().await.unwrap();
        unavailable(anna.get("/v1/contacts")).await;
        unavailable(anna.post("/v1/contacts/invite", &json!({"username": ben.name}))).await;
        anna.get("/v1/rooms").await.ok(200);
        let mut bens = ben.subscribed(room).await;
        anna.send_message(room, "Hello").await;
        assert_eq!(bens.next().await["message"]["content"], "Hello");
        stack.process("contacts", 0).restart(RESTART).await.unwrap();
        recovers("/v1/contacts", &anna).await;
    })
    .await;
}

#[tokio::test]
async fn without_rooms_sends_are_refused_and_connections_stay() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        stack.process("rooms", 0).kill().await.unwrap();

        unavailable(anna.get("/v1/rooms")).await;
        unavailable(anna.get(&history_path(room))).await;
        unavailable(anna.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "x"})))
            .await;
        let refused = bens.ask(&message_with_ref(room, "x", "1")).await;
        assert_eq!((&refused["code"], &refused["ref"]), (&json!("unavailable"), &json!("1")));
        let refused = ben.socket().await.ask(&json!({"type": "subscribe", "room_id": room})).await;
        assert_eq!(refused["code"], "unavailable");
        anna.get("/v1/contacts").await.ok(200);
        anna.get("/v1/auth/me").await.ok(200);

        stack.process("rooms", 0).restart(RESTART).await.unwrap();
        recovers("/v1/rooms", &anna).await;
        let mut annas = anna.socket().await;
        let ack = send_until_acked(&mut annas, room, "After").await;
        // A refused message may be stored or not. This one reaches the client that stayed
        // subscribed.
        while bens.next().await["message"]["id"] != ack["message_id"] {}
        // messaging follows the membership log again.
        anna.delete(&format!("/v1/rooms/{room}/members/{}", ben.name)).await.ok(204);
        while bens.next().await["type"] != "unsubscribed" {}
    })
    .await;
}

#[tokio::test]
async fn accepting_without_rooms_makes_one_room_later() {
    on_stack(1, 1, async |stack| {
        let [anna, ben] = people(stack).await;
        let invitation =
            anna.post("/v1/contacts/invite", &json!({"username": ben.name})).await.ok(200);
        stack.process("rooms", 0).kill().await.unwrap();
        let begin = Instant::now();
        ben.post_empty(&format!("/v1/contacts/{}/accept", invitation["id"])).await.ok(200);
        assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
        let contacts = anna.get("/v1/contacts").await.ok(200);
        assert_eq!(contacts["contacts"][0]["other_user"]["id"], ben.id);

        stack.process("rooms", 0).restart(RESTART).await.unwrap();
        eventually(RECOVERY, "the system room appears", async || {
            let answer = anna.get("/v1/rooms").await;
            answer.status == 200 && answer.json()["rooms"] != json!([])
        })
        .await;
        for person in [&anna, &ben] {
            let rooms = person.get("/v1/rooms").await.ok(200)["rooms"].as_array().unwrap().clone();
            assert_eq!((rooms.len(), &rooms[0]["is_system"]), (1, &json!(true)));
        }
    })
    .await;
}

#[tokio::test]
async fn without_messaging_the_rest_works_and_connections_stay() {
    on_stack(1, 1, async |stack| {
        let [anna, ben, carl] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        let mut bens = ben.subscribed(room).await;
        stack.process("messaging", 0).kill().await.unwrap();
        unavailable(anna.get(&history_path(room))).await;
        unavailable(anna.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": "x"})))
            .await;
        assert_eq!(bens.ask(&message_with_ref(room, "x", "1")).await["code"], "unavailable");
        become_contacts(&anna, &carl).await;
        make_room(&carl, &[]).await;

        stack.process("messaging", 0).restart(RESTART).await.unwrap();
        recovers(&history_path(room), &anna).await;
        let ack = send_until_acked(&mut anna.socket().await, room, "After").await;
        while bens.next().await["message"]["id"] != ack["message_id"] {}
    })
    .await;
}
