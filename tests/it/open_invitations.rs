//! How many invitations may be open, and for how long, on a stack where both limits are low.

use parlance_devstack::Stack;
use serde_json::{Value, json};

use crate::support::{Answer, Person, RECOVERY, eventually, on_own_stack, people};

/// Long enough for the calls of a test on a busy machine.
const TTL_SECONDS: &str = "30";

async fn invite(from: &Person, to: &Person) -> Answer {
    from.post("/v1/contacts/invite", &json!({"username": to.name})).await
}

async fn list(person: &Person, name: &str) -> Value {
    person.get("/v1/contacts").await.ok(200)[name].take()
}

#[tokio::test]
async fn only_so_many_invitations_are_open_and_they_end() {
    let builder = Stack::builder()
        .replicas(2)
        .gateways(2)
        .environment("contacts", "MAX_OPEN_INVITATIONS", "3")
        .environment("contacts", "INVITATION_TTL", TTL_SECONDS);
    on_own_stack(builder, async |stack| {
        let [anna, ben, carl, dora, emil] = people(stack).await;
        let mut paths = Vec::new();
        for other in [&ben, &carl, &dora] {
            let invitation = invite(&anna, other).await.ok(200);
            paths.push(format!("/v1/contacts/{}", invitation["id"]));
        }
        invite(&anna.at(stack, 1), &emil).await.refused(403, "too_many_invitations");
        invite(&anna, &ben).await.refused(400, "already_invited");
        assert_eq!(list(&emil, "received_invitations").await, json!([]));

        // Accepting the invitation of another user is no invitation.
        invite(&emil, &anna).await.ok(200);
        invite(&anna, &emil).await.ok(200);
        ben.post_empty(&format!("{}/accept", paths[0])).await.ok(200);

        eventually(RECOVERY * 3, "the invitations end", async || {
            list(&anna, "sent_invitations").await == json!([])
        })
        .await;
        assert_eq!(list(&carl.at(stack, 1), "received_invitations").await, json!([]));
        let refused = carl.post_empty(&format!("{}/accept", paths[1])).await;
        refused.refused(404, "invitation_not_found");
        let refused = dora.post_empty(&format!("{}/reject", paths[2])).await;
        refused.refused(404, "invitation_not_found");
        assert_eq!(list(&anna, "contacts").await.as_array().unwrap().len(), 2);
        invite(&carl, &anna).await.ok(200);
        assert_eq!(list(&carl, "sent_invitations").await.as_array().unwrap().len(), 1);
        assert_eq!(list(&anna, "contacts").await.as_array().unwrap().len(), 2);
    })
    .await;
}
