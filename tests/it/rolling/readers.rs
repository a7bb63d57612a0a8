//! Clients that read unchanging data and always get the same answers.

use parlance_client::Method;

use super::Load;
use super::balancer::Call;
use crate::support::Person;

/// Reads everything about a user and a room again and again. Asserts that the answers never change.
pub(super) async fn read(load: &Load<'_>, reader: &Person, friend: &Person, room: i64) {
    let paths = [
        "/v1/auth/me".to_owned(),
        "/v1/contacts".to_owned(),
        format!("/v1/contacts/check/{}", friend.name),
        "/v1/rooms".to_owned(),
        format!("/v1/rooms/{room}"),
        format!("/v1/messages/rooms/{room}/history"),
        "/v1/healthz".to_owned(),
        "/v1/openapi.json".to_owned(),
        "/.well-known/jwks.json".to_owned(),
    ];
    let mut before: Vec<String> = Vec::new();
    while load.goes_on() {
        let mut now = Vec::new();
        for path in &paths {
            let call = Call { method: Method::GET, path, person: Some(reader), body: None };
            let answer = load.balancer.repeatable(&call).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            now.push(answer.text.clone());
        }
        if !before.is_empty() {
            assert_eq!(before, now);
        }
        before = now;
    }
}
