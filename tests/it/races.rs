//! Concurrent calls are answered as in some serial order.

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::contacts::{assert_exactly_contacts, system_rooms_with};
use crate::support::{Answer, Api, PASSWORD, Person, fresh_name, people, stack};

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

async fn invite(from: &Person, to: &Person) -> Answer {
    from.post("/v1/contacts/invite", &json!({"username": to.name})).await
}

#[tokio::test]
async fn of_twenty_parallel_accepts_one_succeeds() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let path = format!("/v1/contacts/{}/accept", invite(&anna, &ben).await.ok(200)["id"]);
    let bens = [ben.at(stack, 0), ben.at(stack, 1)];
    let answers = join_all((0..20).map(|i| bens[i % 2].post_empty(&path))).await;
    assert_eq!((count(&answers, 200), count(&answers, 404)), (1, 19), "{answers:?}");
    assert_exactly_contacts(&anna, &ben).await;
}

#[tokio::test]
async fn twenty_pairs_that_invite_each_other_at_once_become_contacts() {
    let stack = stack().await;
    let pairs = join_all((0..20).map(|_| people::<2>(stack))).await;
    let answers = join_all(pairs.iter().map(async |[one, other]| {
        let elsewhere = other.at(stack, 1);
        join(invite(one, other), invite(&elsewhere, one)).await
    }))
    .await;
    for ((first, second), [one, other]) in answers.into_iter().zip(&pairs) {
        assert_eq!(first.ok(200)["id"], second.ok(200)["id"]);
        assert_exactly_contacts(one, other).await;
    }
}

#[tokio::test]
async fn of_twenty_parallel_invitations_one_is_made() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let annas = [anna.at(stack, 0), anna.at(stack, 1)];
    let answers = join_all((0..20).map(|i| invite(&annas[i % 2], &ben))).await;
    assert_eq!((count(&answers, 200), count(&answers, 400)), (1, 19), "{answers:?}");
    let received = ben.get("/v1/contacts").await.ok(200);
    assert_eq!(received["received_invitations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_invitation_is_either_accepted_or_rejected() {
    let stack = stack().await;
    for _ in 0..10 {
        let [anna, ben] = people(stack).await;
        let path = format!("/v1/contacts/{}", invite(&anna, &ben).await.ok(200)["id"]);
        let (here, there) = (ben.at(stack, 0), ben.at(stack, 1));
        let (accept, reject) = (format!("{path}/accept"), format!("{path}/reject"));
        let (accepted, rejected) = join(here.post_empty(&accept), there.post_empty(&reject)).await;
        match (accepted.status.as_u16(), rejected.status.as_u16()) {
            (200, 404) => assert_exactly_contacts(&anna, &ben).await,
            (404, 204) => assert_eq!(system_rooms_with(&anna, &ben).await, 0),
            _ => panic!("{accepted:?} {rejected:?}"),
        }
    }
}

#[tokio::test]
async fn an_invitation_is_either_accepted_or_taken_back() {
    let stack = stack().await;
    for _ in 0..10 {
        let [anna, ben] = people(stack).await;
        let id = invite(&anna, &ben).await.ok(200)["id"].as_i64().unwrap();
        let (here, there) = (ben.at(stack, 0), anna.at(stack, 1));
        let accept = format!("/v1/contacts/{id}/accept");
        let withdraw = format!("/v1/contacts/invitations/{id}");
        let (accepted, withdrawn) = join(here.post_empty(&accept), there.delete(&withdraw)).await;
        match (accepted.status.as_u16(), withdrawn.status.as_u16()) {
            (200, 404) => assert_exactly_contacts(&anna, &ben).await,
            (404, 204) => assert_eq!(system_rooms_with(&anna, &ben).await, 0),
            _ => panic!("{accepted:?} {withdrawn:?}"),
        }
    }
}

#[tokio::test]
async fn of_twenty_registrations_of_one_name_one_succeeds() {
    let stack = stack().await;
    let name = fresh_name();
    let gateways = [Api::at(stack, 0), Api::at(stack, 1)];
    let register = async |i: usize| {
        let upper: String = name[..i % name.len()].to_uppercase();
        let spelling = upper + &name[i % name.len()..];
        let body = json!({"username": spelling, "password": PASSWORD});
        gateways[i % 2].post("/v1/auth/register", &body).await
    };
    let answers = join_all((0..20).map(register)).await;
    assert_eq!(count(&answers, 201), 1, "{answers:?}");
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(400, "username_taken");
    }
}

#[tokio::test]
async fn of_parallel_leaves_one_succeeds() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = crate::support::make_room(&anna, &[&ben]).await;
    let bens = [ben.at(stack, 0), ben.at(stack, 1)];
    let path = format!("/v1/rooms/{room}/leave");
    let answers = join_all((0..20).map(|i| bens[i % 2].post_empty(&path))).await;
    assert_eq!((count(&answers, 204), count(&answers, 404)), (1, 19), "{answers:?}");
}
