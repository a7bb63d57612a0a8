//! Invitations and contacts.

use serde_json::{Value, json};

use crate::support::{
    Answer, Person, assert_contact, assert_invitation, assert_members, become_contacts, fresh_name,
    people, person, stack,
};

async fn invite(from: &Person, to: &Person) -> Answer {
    from.post("/v1/contacts/invite", &json!({"username": to.name})).await
}

/// Invites, which must succeed. Returns the path of the invitation.
async fn invited(from: &Person, to: &Person) -> String {
    format!("/v1/contacts/{}", invite(from, to).await.ok(200)["id"])
}

async fn contacts(person: &Person) -> Value {
    person.get("/v1/contacts").await.ok(200)
}

async fn me(person: &Person) -> Value {
    person.get("/v1/auth/me").await.ok(200)
}

/// The system rooms of two users.
pub(crate) async fn system_rooms_with(person: &Person, other: &Person) -> usize {
    let rooms = person.get("/v1/rooms").await.ok(200);
    let is_theirs = |room: &&Value| {
        let members = room["members"].as_array().unwrap();
        room["is_system"] == true && members.iter().any(|member| member["user"]["id"] == other.id)
    };
    rooms["rooms"].as_array().unwrap().iter().filter(is_theirs).count()
}

/// Asserts that two users are contacts once, with one system room and without an invitation.
pub(crate) async fn assert_exactly_contacts(one: &Person, other: &Person) {
    for (person, other) in [(one, other), (other, one)] {
        let found = contacts(person).await;
        assert_eq!(found["sent_invitations"], json!([]));
        assert_eq!(found["received_invitations"], json!([]));
        let contacts = found["contacts"].as_array().unwrap();
        let ids: Vec<&Value> =
            contacts.iter().map(|contact| &contact["other_user"]["id"]).collect();
        assert_eq!(ids, [other.id]);
        assert_eq!(system_rooms_with(person, other).await, 1);
    }
}

#[tokio::test]
async fn a_new_user_has_no_contacts() {
    let anna = person(stack().await).await;
    let expected = json!({"sent_invitations": [], "received_invitations": [], "contacts": []});
    assert_eq!(contacts(&anna).await, expected);
}

#[tokio::test]
async fn inviting_returns_the_invitation_that_both_see() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let invitation = invite(&anna, &ben).await.ok(200);
    assert_invitation(&invitation);
    assert_eq!(invitation["from_user"], me(&anna).await);
    assert_eq!(invitation["to_user"], me(&ben).await);
    assert_eq!(invitation["created_at"], invitation["updated_at"]);

    let sent = contacts(&anna.at(stack, 1)).await;
    assert_eq!(
        sent,
        json!({"sent_invitations": [invitation], "received_invitations": [], "contacts": []})
    );
    let received = contacts(&ben.at(stack, 1)).await;
    assert_eq!(
        received,
        json!({"sent_invitations": [], "received_invitations": [invitation], "contacts": []})
    );
}

#[tokio::test]
async fn an_invitation_finds_its_user_in_any_case() {
    let [anna, ben] = people(stack().await).await;
    let username = ben.name.to_uppercase();
    let invitation = anna.post("/v1/contacts/invite", &json!({"username": username})).await.ok(200);
    assert_eq!(invitation["to_user"]["username"], ben.name);
}

#[tokio::test]
async fn an_unknown_user_cannot_be_invited() {
    let anna = person(stack().await).await;
    for name in
        [fresh_name().as_str(), "", "a b", "ab", "abc\0", "p\u{430}ypal", &"x".repeat(10_000)]
    {
        let answer = anna.post("/v1/contacts/invite", &json!({"username": name})).await;
        answer.refused(404, "user_not_found");
    }
}

#[tokio::test]
async fn inviting_oneself_is_refused() {
    let anna = person(stack().await).await;
    invite(&anna, &anna).await.refused(400, "self_invitation");
    let answer =
        anna.post("/v1/contacts/invite", &json!({"username": anna.name.to_uppercase()})).await;
    answer.refused(400, "self_invitation");
}

#[tokio::test]
async fn contacts_are_not_invited_again() {
    let [anna, ben] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    invite(&anna, &ben).await.refused(400, "already_contacts");
    invite(&ben, &anna).await.refused(400, "already_contacts");
}

#[tokio::test]
async fn a_second_invitation_is_refused() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let invitation = invite(&anna, &ben).await.ok(200);
    invite(&anna, &ben).await.refused(400, "already_invited");
    invite(&anna.at(stack, 1), &ben).await.refused(400, "already_invited");
    assert_eq!(contacts(&ben).await["received_invitations"], json!([invitation]));
}

#[tokio::test]
async fn accepting_makes_both_contacts() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let path = invited(&anna, &ben).await;
    let contact = ben.post_empty(&format!("{path}/accept")).await.ok(200);
    assert_contact(&contact);
    assert_eq!(contact["other_user"], me(&anna).await);
    assert_eq!(contacts(&ben.at(stack, 1)).await["contacts"], json!([contact]));
    let mut of_anna = contact;
    of_anna["other_user"] = me(&ben).await;
    assert_eq!(contacts(&anna.at(stack, 1)).await["contacts"], json!([of_anna]));
    assert_exactly_contacts(&anna, &ben).await;
}

#[tokio::test]
async fn the_system_room_exists_when_accepting_returns() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let path = invited(&anna, &ben).await;
    ben.post_empty(&format!("{path}/accept")).await.ok(200);
    assert_eq!(system_rooms_with(&anna.at(stack, 1), &ben).await, 1);
}

#[tokio::test]
async fn only_the_invited_user_accepts_or_rejects() {
    let [anna, ben, carl] = people(stack().await).await;
    let path = invited(&anna, &ben).await;
    for verb in ["accept", "reject"] {
        let path = format!("{path}/{verb}");
        anna.post_empty(&path).await.refused(404, "invitation_not_found");
        carl.post_empty(&path).await.refused(404, "invitation_not_found");
    }
    assert_eq!(contacts(&ben).await["received_invitations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_invitations_are_not_found() {
    let anna = person(stack().await).await;
    for verb in ["accept", "reject"] {
        let path = format!("/v1/contacts/{}/{verb}", i64::MAX);
        anna.post_empty(&path).await.refused(404, "invitation_not_found");
    }
}

#[tokio::test]
async fn an_invitation_is_answered_once() {
    let [anna, ben, carl] = people(stack().await).await;
    let accepted = invited(&anna, &ben).await;
    ben.post_empty(&format!("{accepted}/accept")).await.ok(200);
    let rejected = invited(&carl, &ben).await;
    ben.post_empty(&format!("{rejected}/reject")).await.ok(204);
    for path in [accepted, rejected] {
        ben.post_empty(&format!("{path}/accept")).await.refused(404, "invitation_not_found");
        ben.post_empty(&format!("{path}/reject")).await.refused(404, "invitation_not_found");
    }
    assert_exactly_contacts(&anna, &ben).await;
}

#[tokio::test]
async fn rejecting_removes_the_invitation() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let path = invited(&anna, &ben).await;
    let answer = ben.post_empty(&format!("{path}/reject")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    let nothing = json!({"sent_invitations": [], "received_invitations": [], "contacts": []});
    assert_eq!(contacts(&anna.at(stack, 1)).await, nothing);
    assert_eq!(contacts(&ben.at(stack, 1)).await, nothing);
    assert_eq!(system_rooms_with(&anna, &ben).await, 0);
}

#[tokio::test]
async fn after_a_rejection_both_may_invite_again() {
    let [anna, ben] = people(stack().await).await;
    let first = invited(&anna, &ben).await;
    ben.post_empty(&format!("{first}/reject")).await.ok(204);
    let second = invited(&anna, &ben).await;
    assert_ne!(first, second);
    ben.post_empty(&format!("{second}/reject")).await.ok(204);
    let third = invited(&ben, &anna).await;
    anna.post_empty(&format!("{third}/accept")).await.ok(200);
    assert_exactly_contacts(&anna, &ben).await;
}

#[tokio::test]
async fn inviting_back_accepts() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let invitation = invite(&anna, &ben).await.ok(200);
    let answer = invite(&ben.at(stack, 1), &anna).await.ok(200);
    assert_invitation(&answer);
    assert_eq!(answer["id"], invitation["id"]);
    assert_eq!(answer["from_user"]["id"], anna.id);
    assert_exactly_contacts(&anna, &ben).await;
    ben.post_empty(&format!("/v1/contacts/{}/accept", invitation["id"]))
        .await
        .refused(404, "invitation_not_found");
}

#[tokio::test]
async fn checking_distinguishes_contacts_from_others() {
    let [anna, ben, carl, dora] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    invited(&anna, &carl).await;
    for (other, expected) in [(&ben, true), (&carl, false), (&dora, false), (&anna, false)] {
        let answer = anna.get(&format!("/v1/contacts/check/{}", other.name)).await.ok(200);
        assert_eq!(answer, json!({"username": other.name, "is_mutual_contact": expected}));
    }
}

#[tokio::test]
async fn checking_ignores_case() {
    let [anna, ben] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    let answer = anna.get(&format!("/v1/contacts/check/{}", ben.name.to_uppercase())).await.ok(200);
    assert_members(&answer, &["username", "is_mutual_contact"]);
    assert_eq!(answer["is_mutual_contact"], true);
}

#[tokio::test]
async fn checking_an_unknown_user_is_not_found() {
    let anna = person(stack().await).await;
    for name in [fresh_name().as_str(), "a%20b", "ab", "%00%00%00", "%ff%fe%fd", "%F0%9F%98%80"] {
        anna.get(&format!("/v1/contacts/check/{name}")).await.refused(404, "user_not_found");
    }
}

#[tokio::test]
async fn an_invitation_is_taken_back_by_its_sender_alone() {
    let stack = stack().await;
    let [anna, ben, carl] = people(stack).await;
    let invitation = invite(&anna, &ben).await.ok(200);
    let path = format!("/v1/contacts/invitations/{}", invitation["id"]);
    for other in [&ben, &carl] {
        other.delete(&path).await.refused(404, "invitation_not_found");
    }
    anna.delete("/v1/contacts/invitations/x").await.invalid(&["path.invitation_id int_parsing"]);
    anna.at(stack, 1).delete(&path).await.ok(204);
    anna.delete(&path).await.refused(404, "invitation_not_found");
    let accept = format!("/v1/contacts/{}/accept", invitation["id"]);
    ben.post_empty(&accept).await.refused(404, "invitation_not_found");
    for (person, kind) in [(&anna, "sent_invitations"), (&ben, "received_invitations")] {
        assert_eq!(person.at(stack, 1).get("/v1/contacts").await.ok(200)[kind], json!([]));
    }
    let again = invite(&anna, &ben).await.ok(200);
    assert_ne!(again["id"], invitation["id"]);
    let accept = format!("/v1/contacts/{}/accept", again["id"]);
    ben.post_empty(&accept).await.ok(200);
    let path = format!("/v1/contacts/invitations/{}", again["id"]);
    anna.delete(&path).await.refused(404, "invitation_not_found");
}
