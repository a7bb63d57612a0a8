//! Clients that make changes. A change that was answered is visible at once and complete. A change
//! that was not answered is complete or absent.

use std::collections::BTreeSet;
use std::time::Duration;

use parlance_client::Method;
use serde_json::{Value, json};

use super::Load;
use super::balancer::Call;
use super::sockets::connect;
use crate::support::{Answer, Api, Ended, PASSWORD, Person, eventually, fresh_name};

/// Longer than a change can still be in flight after its answer was lost: the gateway's timeout and
/// a margin.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// The longest time until a system room exists that could not be made at once.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a requested change.
enum Outcome {
    Done,
    Refused(String),
    Unknown,
}

impl Outcome {
    fn of(answer: Option<Answer>, expected: u16) -> Self {
        match answer {
            Some(answer) if answer.status == expected => Self::Done,
            Some(answer) => Self::Refused(answer.text.clone()),
            None => Self::Unknown,
        }
    }
}

/// Repeats a scenario with all changes of the API until the load ends.
pub(super) async fn write(load: &Load<'_>) {
    let mut lives = 0;
    while load.goes_on() {
        live(load).await;
        lives += 1;
    }
    assert!(lives > 0, "nothing was changed");
}

async fn live(load: &Load<'_>) {
    let (anna, ben) = tokio::join!(newcomer(load), newcomer(load));
    let couple = Couple { load, anna, ben };
    couple.become_contacts().await;
    couple.share_a_system_room().await;
    let room = couple.make_room().await;
    couple.change_members(room).await;
    couple.change_messages(room).await;
    couple.leave_and_delete(room).await;
}

/// Requests a change until it is made. `is_made` returns whether it is, and panics if it is
/// incomplete.
async fn until_made(what: &str, ask: impl AsyncFn() -> Outcome, is_made: impl AsyncFn() -> bool) {
    let mut is_in_doubt = false;
    loop {
        match ask().await {
            Outcome::Done => {
                assert!(is_made().await, "answered, but not made: {what}");
                return;
            }
            // An earlier attempt made it.
            Outcome::Refused(_) if is_in_doubt && is_made().await => return,
            Outcome::Refused(refusal) => panic!("refused: {what}: {refusal}"),
            Outcome::Unknown => {
                is_in_doubt = true;
                tokio::time::sleep(IN_FLIGHT_TIMEOUT).await;
                if is_made().await {
                    return;
                }
            }
        }
    }
}

async fn newcomer(load: &Load<'_>) -> Person {
    let name = fresh_name();
    let credentials = json!({"username": name, "password": PASSWORD});
    let register = async || post(load, None, "/v1/auth/register", Some(&credentials), 201).await;
    until_made("registering", register, async || log_in(load, &credentials).await.is_some()).await;
    let token = log_in(load, &credentials).await.unwrap();
    let mut newcomer = Person { api: Api::at(load.stack, 0), id: 0, name, token };
    let me = load.balancer.get(&newcomer, "/v1/auth/me").await;
    assert_eq!(me["username"], newcomer.name);
    newcomer.id = me["id"].as_i64().unwrap();
    newcomer
}

/// Logs in. Returns `None` if the account does not exist.
async fn log_in(load: &Load<'_>, credentials: &Value) -> Option<String> {
    loop {
        let body = Some(credentials.clone());
        let call = Call { method: Method::POST, path: "/v1/auth/login", person: None, body };
        let Some(answer) = load.balancer.once(&call).await else { continue };
        if answer.status == 401 {
            return None;
        }
        return Some(answer.ok(200)["access_token"].as_str().unwrap().to_owned());
    }
}

async fn post(
    load: &Load<'_>,
    person: Option<&Person>,
    path: &str,
    body: Option<&Value>,
    expected: u16,
) -> Outcome {
    let call = Call { method: Method::POST, path, person, body: body.cloned() };
    Outcome::of(load.balancer.once(&call).await, expected)
}

/// Two users. The first one owns their room.
struct Couple<'a> {
    load: &'a Load<'a>,
    anna: Person,
    ben: Person,
}

impl Couple<'_> {
    async fn become_contacts(&self) {
        let invite = async || {
            let body = json!({"username": self.ben.name});
            post(self.load, Some(&self.anna), "/v1/contacts/invite", Some(&body), 200).await
        };
        until_made("inviting", invite, async || self.invitation().await.is_some()).await;
        let id = self.invitation().await.unwrap();
        let path = format!("/v1/contacts/{id}/accept");
        let accept = async || post(self.load, Some(&self.ben), &path, None, 200).await;
        until_made("accepting", accept, async || self.are_contacts().await).await;
    }

    /// The id of the invitation. Either both users see it or neither.
    async fn invitation(&self) -> Option<i64> {
        let (annas, bens) = self.contacts().await;
        let (sent, received) = (&annas["sent_invitations"], &bens["received_invitations"]);
        assert_eq!(sent, received);
        sent[0]["id"].as_i64()
    }

    /// True if each is the only contact of the other, without an invitation. Asserts that otherwise
    /// neither has a contact.
    async fn are_contacts(&self) -> bool {
        let (annas, bens) = self.contacts().await;
        let others = |contacts: &Value| -> Vec<i64> {
            let contacts = contacts["contacts"].as_array().unwrap();
            contacts.iter().map(|contact| contact["other_user"]["id"].as_i64().unwrap()).collect()
        };
        if others(&annas).is_empty() {
            assert_eq!(
                (others(&bens), annas["sent_invitations"].as_array().unwrap().len()),
                (vec![], 1)
            );
            return false;
        }
        assert_eq!((others(&annas), others(&bens)), (vec![self.ben.id], vec![self.anna.id]));
        assert_eq!(
            (&annas["sent_invitations"], &bens["received_invitations"]),
            (&json!([]), &json!([]))
        );
        true
    }

    async fn contacts(&self) -> (Value, Value) {
        let balancer = &self.load.balancer;
        tokio::join!(
            balancer.get(&self.anna, "/v1/contacts"),
            balancer.get(&self.ben, "/v1/contacts")
        )
    }

    async fn share_a_system_room(&self) {
        eventually(ROOM_TIMEOUT, "the system room is there", async || {
            let mut rooms = Vec::new();
            for person in [&self.anna, &self.ben] {
                let answer = self.load.balancer.get(person, "/v1/rooms").await;
                rooms.push(answer["rooms"].as_array().unwrap().clone());
            }
            rooms.iter().all(|rooms| !rooms.is_empty() && self.is_system_room(rooms))
        })
        .await;
    }

    fn is_system_room(&self, rooms: &[Value]) -> bool {
        assert_eq!((rooms.len(), &rooms[0]["is_system"]), (1, &json!(true)));
        assert_eq!(member_ids(&rooms[0]), self.both());
        true
    }

    fn both(&self) -> BTreeSet<i64> {
        BTreeSet::from([self.anna.id, self.ben.id])
    }

    async fn make_room(&self) -> i64 {
        let body = json!({"name": "Ours", "member_usernames": [self.ben.name]});
        let make = async || post(self.load, Some(&self.anna), "/v1/rooms", Some(&body), 201).await;
        until_made("making a room", make, async || self.room().await.is_some()).await;
        self.room().await.unwrap()["id"].as_i64().unwrap()
    }

    /// The room that Anna made. Asserts that both see the same, with both as members.
    async fn room(&self) -> Option<Value> {
        let is_ours = |room: &&Value| room["is_system"] == false;
        let mut seen = Vec::new();
        for person in [&self.anna, &self.ben] {
            let rooms = self.load.balancer.get(person, "/v1/rooms").await;
            let ours: Vec<Value> =
                rooms["rooms"].as_array().unwrap().iter().filter(is_ours).cloned().collect();
            assert!(ours.len() <= 1, "made twice: {ours:?}");
            seen.push(ours.into_iter().next());
        }
        assert_eq!(seen[0], seen[1]);
        let room = seen.remove(0)?;
        assert_eq!((&room["name"], &room["owner"]["id"]), (&json!("Ours"), &json!(self.anna.id)));
        assert_eq!(member_ids(&room), self.both());
        Some(room)
    }

    async fn change_members(&self, room: i64) {
        let path = format!("/v1/rooms/{room}/members/{}", self.ben.name);
        let remove = async || self.change(&self.anna, Method::DELETE, &path, None, 204).await;
        until_made("removing a member", remove, async || !self.has_ben(room).await).await;
        let (path, body) =
            (format!("/v1/rooms/{room}/members"), json!({"usernames": [self.ben.name]}));
        let add = async || post(self.load, Some(&self.anna), &path, Some(&body), 200).await;
        until_made("adding a member", add, async || self.has_ben(room).await).await;
    }

    /// True if Ben is a member. Asserts that all views agree.
    async fn has_ben(&self, room: i64) -> bool {
        let path = format!("/v1/rooms/{room}");
        let members = member_ids(&self.load.balancer.get(&self.anna, &path).await);
        let is_in = members == self.both();
        assert!(is_in || members == BTreeSet::from([self.anna.id]));
        assert_eq!(self.status(&self.ben, &path).await, if is_in { 200 } else { 403 });
        is_in
    }

    async fn status(&self, person: &Person, path: &str) -> u16 {
        let call = Call { method: Method::GET, path, person: Some(person), body: None };
        self.load.balancer.repeatable(&call).await.status.as_u16()
    }

    async fn change(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        body: Option<Value>,
        expected: u16,
    ) -> Outcome {
        let call = Call { method, path, person: Some(person), body };
        Outcome::of(self.load.balancer.once(&call).await, expected)
    }

    async fn change_messages(&self, room: i64) {
        let path = format!("/v1/messages/rooms/{room}");
        // A message with an idempotency key can be sent again.
        let keyed = json!({"content": "Keyed", "client_msg_id": "key"});
        let call =
            Call { method: Method::POST, path: &path, person: Some(&self.ben), body: Some(keyed) };
        assert!(self.load.balancer.repeatable(&call).await.status.is_success());
        self.load.balancer.repeatable(&call).await.ok(200);
        let body = json!({"content": "Plain"});
        let send = async || post(self.load, Some(&self.ben), &path, Some(&body), 201).await;
        until_made("sending", send, async || self.has_message(room, "Plain").await).await;
        let contents: Vec<Value> = self
            .history(room)
            .await
            .into_iter()
            .map(|message| message["content"].clone())
            .collect();
        assert_eq!(contents, ["Keyed", "Plain"]);

        let messages = self.history(room).await;
        let (keyed, plain) = (&messages[0]["id"], &messages[1]["id"]);
        let (path, body) = (format!("/v1/messages/{keyed}"), json!({"content": "Edited"}));
        let edit =
            async || self.change(&self.ben, Method::PATCH, &path, Some(body.clone()), 200).await;
        until_made("editing", edit, async || self.has_message(room, "Edited").await).await;
        let frame = json!({"type": "edit_message", "message_id": plain, "content": "Edited, too"});
        let edit = async || self.ask_on_socket(&frame).await;
        until_made("editing on a socket", edit, async || {
            self.has_message(room, "Edited, too").await
        })
        .await;

        let path = format!("/v1/messages/{plain}");
        let delete = async || self.change(&self.anna, Method::DELETE, &path, None, 204).await;
        until_made("deleting", delete, async || !self.has_message(room, "Edited, too").await).await;
        let frame = json!({"type": "delete_message", "message_id": keyed});
        let delete = async || self.ask_on_socket(&frame).await;
        until_made("deleting on a socket", delete, async || {
            !self.has_message(room, "Edited").await
        })
        .await;
        assert_eq!(self.history(room).await, Vec::<Value>::new());
    }

    /// Requests a change over a new WebSocket of Ben.
    async fn ask_on_socket(&self, frame: &Value) -> Outcome {
        let mut socket = connect(self.load, &self.ben).await;
        socket.send_if_open(frame.to_string().into()).await;
        match socket.frame_or_end().await {
            Ok(answer) if answer["type"] == "success" => Outcome::Done,
            Ok(answer) if answer["code"] == "unavailable" => Outcome::Unknown,
            Ok(answer) => Outcome::Refused(answer.to_string()),
            Err(ended) => {
                assert_eq!(ended, Ended(Some(1012)));
                Outcome::Unknown
            }
        }
    }

    /// True if a message has this content. Asserts that at most one has.
    async fn has_message(&self, room: i64, content: &str) -> bool {
        let messages = self.history(room).await;
        let found: Vec<&Value> =
            messages.iter().filter(|message| message["content"] == content).collect();
        assert!(found.len() <= 1, "{found:?}");
        let is_edited = content.starts_with("Edited");
        assert!(
            found.iter().all(|message| message["edited_at"].is_null() != is_edited),
            "{found:?}"
        );
        !found.is_empty()
    }

    async fn history(&self, room: i64) -> Vec<Value> {
        let path = format!("/v1/messages/rooms/{room}/history");
        self.load.balancer.get(&self.anna, &path).await["messages"].as_array().unwrap().clone()
    }

    async fn leave_and_delete(&self, room: i64) {
        let path = format!("/v1/rooms/{room}/leave");
        let leave = async || post(self.load, Some(&self.ben), &path, None, 204).await;
        until_made("leaving", leave, async || !self.has_ben(room).await).await;
        let path = format!("/v1/rooms/{room}");
        let delete = async || self.change(&self.anna, Method::DELETE, &path, None, 204).await;
        until_made("deleting a room", delete, async || self.status(&self.anna, &path).await == 404)
            .await;
    }
}

fn member_ids(room: &Value) -> BTreeSet<i64> {
    room["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["user"]["id"].as_i64().unwrap())
        .collect()
}
