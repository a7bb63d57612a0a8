//! The requests of the REST API, one function for each endpoint.
//!
//! `token` is an access token as [`login`] returns it.

use http::Method;
use serde_json::json;

use crate::Request;

/// `POST /v1/auth/register`: 201 and the user.
pub fn register(username: &str, password: &str) -> Request {
    Request::post("/v1/auth/register", &json!({"username": username, "password": password}))
}

/// `POST /v1/auth/login`: 200 and the `access_token`.
pub fn login(username: &str, password: &str) -> Request {
    Request::post("/v1/auth/login", &json!({"username": username, "password": password}))
}

/// `GET /v1/auth/me`: 200 and the user.
pub fn me(token: &str) -> Request {
    Request::get("/v1/auth/me").bearer(token)
}

/// `GET /v1/contacts`: 200, the contacts and the invitations.
pub fn contacts(token: &str) -> Request {
    Request::get("/v1/contacts").bearer(token)
}

/// `POST /v1/contacts/invite`: 200 and the invitation.
pub fn invite(token: &str, username: &str) -> Request {
    Request::post("/v1/contacts/invite", &json!({"username": username})).bearer(token)
}

/// `POST /v1/contacts/{invitation_id}/accept`: 200 and the contact.
pub fn accept(token: &str, invitation_id: i64) -> Request {
    let path = format!("/v1/contacts/{invitation_id}/accept");
    Request::new(Method::POST, path).bearer(token)
}

/// `GET /v1/rooms`: 200 and the rooms.
pub fn rooms(token: &str) -> Request {
    Request::get("/v1/rooms").bearer(token)
}

/// `POST /v1/rooms`: 201, the room, and which usernames were skipped.
pub fn create_room(token: &str, name: &str, members: &[&str]) -> Request {
    Request::post("/v1/rooms", &json!({"name": name, "member_usernames": members})).bearer(token)
}

/// `DELETE /v1/rooms/{room_id}/members/{username}`: 204.
pub fn remove_member(token: &str, room_id: i64, username: &str) -> Request {
    let path = format!("/v1/rooms/{room_id}/members/{username}");
    Request::new(Method::DELETE, path).bearer(token)
}

/// `GET /v1/messages/rooms/{room_id}/history`: 200 and a page. `query` is `limit=50&before_id=7`.
pub fn history(token: &str, room_id: i64, query: &str) -> Request {
    Request::get(format!("/v1/messages/rooms/{room_id}/history?{query}")).bearer(token)
}
