//! Editing and deleting.

use serde_json::json;

use super::calls::{NOWHERE, delete, edit};
use crate::support::{
    assert_message, become_contacts, event_seq, make_room, people, person, stack,
};

#[tokio::test]
async fn editing_changes_the_content_and_not_the_order() {
    let stack = stack().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let before = anna.send_message(room, "before").await;
    anna.send_message(room, "later").await;
    let after = edit(&anna.at(stack, 1), &before, " after ").await.ok(200);
    assert_message(&after);
    assert_eq!(after["content"], " after ");
    assert!(after["edited_at"].as_str() > before["created_at"].as_str());
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    for member in ["id", "room_id", "sender", "created_at", "seq"] {
        assert_eq!(after[member], before[member]);
    }
    assert_eq!(anna.history(room).await[0], after);
}

#[tokio::test]
async fn editing_to_the_same_content_changes_nothing() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let before = anna.send_message(room, "same").await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    let mut annas = anna.socket().await;
    let frame =
        json!({"type": "edit_message", "message_id": before["id"], "content": "same", "ref": "e"});

    assert_eq!(edit(&anna, &before, "same").await.ok(200), before);
    let answer = annas.ask(&frame).await;
    assert_eq!((&answer["type"], &answer["ref"]), (&json!("success"), &json!("e")), "{answer}");
    assert_eq!(anna.history(room).await, std::slice::from_ref(&before));

    let edited = edit(&anna, &before, "other").await.ok(200);
    assert_eq!(edit(&anna.at(stack, 1), &before, "other").await.ok(200), edited);
    // The edit has taken the number after that of the message.
    let event = bens.next().await;
    assert_eq!((&event["type"], event_seq(&event)), (&json!("message_edited"), 2), "{event}");
    let last = anna.send_message(room, "last").await;
    assert_eq!(last["seq"], 3);
    assert_eq!(bens.next().await["message"], last);
}

#[tokio::test]
async fn editing_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "mine").await;
    edit(&carl, &json!({"id": NOWHERE}), "").await.invalid(&["body.content string_too_short"]);
    edit(&ben, &json!({"id": NOWHERE}), "x").await.refused(404, "message_not_found");
    edit(&carl, &message, "x").await.refused(404, "message_not_found");
    edit(&anna, &message, "x").await.refused(403, "not_the_sender");
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn deleting_is_refused_in_this_order() {
    let [anna, ben, carl] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = anna.send_message(room, "mine").await;
    delete(&carl, &json!({"id": NOWHERE})).await.refused(404, "message_not_found");
    delete(&carl, &message).await.refused(404, "message_not_found");
    delete(&ben, &message).await.refused(403, "not_the_sender");
    assert_eq!(anna.history(room).await, [message]);
}

#[tokio::test]
async fn the_owner_of_a_room_deletes_messages_of_others() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "rude").await;
    delete(&anna, &message).await.ok(204);
    assert!(ben.history(room).await.is_empty());
}

#[tokio::test]
async fn in_a_system_room_users_delete_only_their_own_messages() {
    let [anna, ben] = people(stack().await).await;
    let room = become_contacts(&anna, &ben).await;
    let message = ben.send_message(room, "x").await;
    delete(&anna, &message).await.refused(403, "not_the_sender");
    delete(&ben, &message).await.ok(204);
}

#[tokio::test]
async fn a_deleted_message_is_not_found() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let message = anna.send_message(room, "x").await;
    delete(&anna, &message).await.ok(204);
    delete(&anna, &message).await.refused(404, "message_not_found");
    edit(&anna, &message, "y").await.refused(404, "message_not_found");
}

#[tokio::test]
async fn former_members_cannot_change_messages() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let message = ben.send_message(room, "mine").await;
    ben.post_empty(&format!("/v1/rooms/{room}/leave")).await.ok(204);
    for ben in [ben.at(stack, 1), ben] {
        edit(&ben, &message, "x").await.refused(404, "message_not_found");
        delete(&ben, &message).await.refused(404, "message_not_found");
    }
    assert_eq!(anna.history(room).await, [message]);
}
