//! Users and what they do over REST.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;

use parlance_client::{Client, Method, Request, Response};
use parlance_devstack::Stack;
use rand::Rng;
use serde_json::{Value, json};

use super::Socket;
use super::shapes::assert_members;

/// A gateway's API, used without a token.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    pub(crate) gateway: SocketAddr,
}

/// A response, with assertions on it.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Response);

impl Api {
    /// The API at one of the stack's gateways.
    pub(crate) fn at(stack: &Stack, gateway: usize) -> Self {
        let gateway = stack.address("gateway", gateway);
        Self { client: Client::new(gateway), gateway }
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        Answer(self.client.send(request).await.expect("the gateway answers"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Request::post(path, body)).await
    }

    /// Opens a WebSocket without a token.
    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(self.gateway, None).await
    }
}

impl Deref for Answer {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.0
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        self.0.json().unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.json()
    }

    /// Asserts an error with this status and code, the sentence that belongs to it, and nothing
    /// else.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        let detail = body["detail"].as_str().unwrap_or_else(|| panic!("{self:?}"));
        if let Some(sentence) = sentence(code) {
            assert_eq!(detail, sentence, "{self:?}");
        }
        if status >= 500 {
            assert_members(&body, &["detail", "code", "request_id"]);
            assert_eq!(body["request_id"], self.header("x-request-id"));
        } else {
            assert_members(&body, &["detail", "code"]);
        }
        let challenge = if status == 401 { "Bearer" } else { "" };
        assert_eq!(self.header("www-authenticate"), challenge, "{self:?}");
    }

    /// Asserts a 422 that names exactly these fields, each as `loc` joined by dots and `type`:
    /// `body.username missing`.
    #[track_caller]
    pub(crate) fn invalid(self, expected: &[&str]) {
        assert_eq!(self.status.as_u16(), 422, "{self:?}");
        let body = self.json();
        assert_members(&body, &["detail", "code"]);
        let entries = body["detail"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let mut found: Vec<String> = entries.iter().map(describe_field_error).collect();
        let mut expected: Vec<&str> = expected.to_vec();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{self:?}");
    }
}

/// The `detail` of an error code that API clients rely on.
fn sentence(code: &str) -> Option<&'static str> {
    Some(match code {
        "username_taken" => "Username already registered",
        "invalid_credentials" => "Incorrect username or password",
        "unauthenticated" => "Not authenticated",
        "invalid_token" => "Could not validate credentials",
        "user_not_found" => "User not found",
        "self_invitation" => "You cannot invite yourself",
        "already_contacts" => "You are already contacts",
        "already_invited" => "Invitation already sent",
        "invitation_not_found" => "Invitation not found",
        "room_not_found" => "Room not found",
        "not_a_member" => "You are not a member of this room",
        "system_room" => "System rooms cannot be changed",
        "not_the_owner" => "Only the room owner may do this",
        "owner_cannot_leave" => "The owner cannot leave the room; delete it instead",
        "message_not_found" => "Message not found",
        "not_the_sender" => "Only the sender may do this",
        "too_many_invitations" => "Too many invitations are open",
        _ => return None,
    })
}

fn describe_field_error(entry: &Value) -> String {
    assert_members(entry, &["loc", "msg", "type"]);
    assert!(entry["msg"].is_string(), "{entry}");
    let mut text = String::new();
    for part in entry["loc"].as_array().unwrap() {
        let separator = if text.is_empty() { "" } else { "." };
        match part {
            Value::String(part) => write!(text, "{separator}{part}").unwrap(),
            part => write!(text, "{separator}{part}").unwrap(),
        }
    }
    format!("{text} {}", entry["type"].as_str().unwrap())
}

/// A user with an access token, at one gateway.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) api: Api,
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl Person {
    /// The same user at another gateway.
    pub(crate) fn at(&self, stack: &Stack, gateway: usize) -> Self {
        Self { api: Api::at(stack, gateway), ..self.clone() }
    }

    /// Sends a request with the user's token.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.api.send(request.bearer(&self.token)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Request::post(path, body)).await
    }

    /// A POST without a body.
    pub(crate) async fn post_empty(&self, path: &str) -> Answer {
        self.send(Request::new(Method::POST, path)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Request::new(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Request::new(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Request::new(Method::DELETE, path)).await
    }

    /// Opens an authenticated WebSocket and reads its first frame.
    pub(crate) async fn socket(&self) -> Socket {
        let mut socket = Socket::open(self.api.gateway, Some(&self.token)).await;
        let welcome = socket.next().await;
        assert_eq!(welcome["user_id"], self.id, "{welcome}");
        socket
    }

    /// Opens a WebSocket that is subscribed to a room.
    pub(crate) async fn subscribed(&self, room: i64) -> Socket {
        let mut socket = self.socket().await;
        socket.subscribe(room).await;
        socket
    }

    /// Sends a message over REST. Returns the message object.
    pub(crate) async fn send_message(&self, room: i64, content: &str) -> Value {
        self.post(&format!("/v1/messages/rooms/{room}"), &json!({"content": content})).await.ok(201)
    }

    /// The newest page of a room's history, up to 100 messages.
    pub(crate) async fn history(&self, room: i64) -> Vec<Value> {
        let page = self.get(&format!("/v1/messages/rooms/{room}/history?limit=100")).await.ok(200);
        page["messages"].as_array().unwrap().clone()
    }
}

/// A username that no other user has.
pub(crate) fn fresh_name() -> String {
    std::iter::repeat_with(|| rand::rng().random_range('a'..='z')).take(16).collect()
}

/// Registers a user with a name that no other user has, and logs in, at the first gateway.
pub(crate) async fn person(stack: &Stack) -> Person {
    let api = Api::at(stack, 0);
    let account = api.client.create_account(&fresh_name()).await.expect("a user can register");
    Person { api, id: account.user_id, name: account.username, token: account.token }
}

/// Several users who are not contacts.
pub(crate) async fn people<const N: usize>(stack: &Stack) -> [Person; N] {
    let people = futures_util::future::join_all((0..N).map(|_| person(stack))).await;
    people.try_into().ok().expect("as many as asked for")
}

/// Makes two users contacts. Returns the id of their system room.
pub(crate) async fn become_contacts(one: &Person, other: &Person) -> i64 {
    let invitation =
        one.post("/v1/contacts/invite", &json!({"username": other.name})).await.ok(200);
    other.post_empty(&format!("/v1/contacts/{}/accept", invitation["id"])).await.ok(200);
    let rooms = one.get("/v1/rooms").await.ok(200);
    let is_ours = |room: &&Value| {
        let members = room["members"].as_array().unwrap();
        room["is_system"] == true && members.iter().any(|member| member["user"]["id"] == other.id)
    };
    rooms["rooms"].as_array().unwrap().iter().find(is_ours).unwrap()["id"].as_i64().unwrap()
}

/// Makes a room with members, which become contacts of the owner first. Returns its id.
pub(crate) async fn make_room(owner: &Person, members: &[&Person]) -> i64 {
    for member in members {
        become_contacts(owner, member).await;
    }
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let room =
        owner.post("/v1/rooms", &json!({"name": "Room", "member_usernames": names})).await.ok(201);
    assert_eq!(room["skipped"], json!([]));
    room["id"].as_i64().unwrap()
}
