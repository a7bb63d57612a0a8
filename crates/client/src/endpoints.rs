//! The requests of the REST API, one function for each endpoint.
//!
//! `token` is an access token as [`login`] returns it.

use http::Method;
use serde_json::{Value, json};

use crate::Request;

/// `POST /v1/auth/register`: 201 and the user.
pub fn register(username: &str, password: &str) -> Request {
    Request::post("/v1/auth/register", &json!({"username": username, "password": password}))
}

/// `POST /v1/auth/login`: 200 and the `access_token`.
pub fn login(username: &str, password: &str) -> Request {
    Request::post("/v1/auth/login", &json!({"username": username, "password": password}))
}

/// `POST /v1/auth/login` with `refresh`: 200, a short-lived `access_token` and a `refresh_token`.
pub fn login_with_refresh(username: &str, password: &str) -> Request {
    let body = json!({"username": username, "password": password, "refresh": true});
    Request::post("/v1/auth/login", &body)
}

/// `POST /v1/auth/refresh`: 200 and new tokens of the same session.
pub fn refresh(refresh_token: &str) -> Request {
    Request::post("/v1/auth/refresh", &json!({"refresh_token": refresh_token}))
}

/// `POST /v1/auth/exchange`: 200, the tokens of a new session and its `user`.
pub fn exchange(token: &str) -> Request {
    Request::post("/v1/auth/exchange", &json!({"token": token}))
}

/// `POST /v1/auth/exchange` with the name of the new account.
pub fn exchange_as(token: &str, username: &str) -> Request {
    Request::post("/v1/auth/exchange", &json!({"token": token, "username": username}))
}

/// `POST /v1/auth/logout`: 204.
pub fn logout(token: &str) -> Request {
    Request::new(Method::POST, "/v1/auth/logout").bearer(token)
}

/// `GET /v1/auth/sessions`: 200 and the live sessions of the caller.
pub fn sessions(token: &str) -> Request {
    Request::get("/v1/auth/sessions").bearer(token)
}

/// `DELETE /v1/auth/sessions/{id}`: 204.
pub fn end_session(token: &str, session_id: i64) -> Request {
    Request::new(Method::DELETE, format!("/v1/auth/sessions/{session_id}")).bearer(token)
}

/// `DELETE /v1/auth/sessions`: 204.
pub fn end_other_sessions(token: &str) -> Request {
    Request::new(Method::DELETE, "/v1/auth/sessions").bearer(token)
}

/// `PUT /v1/auth/password`: 204.
pub fn change_password(token: &str, current_password: &str, new_password: &str) -> Request {
    let body = json!({"current_password": current_password, "new_password": new_password});
    Request::new(Method::PUT, "/v1/auth/password").json(&body).bearer(token)
}

/// `POST /v1/auth/password/reset`: 204.
pub fn reset_password(code: &str, new_password: &str) -> Request {
    let body = json!({"code": code, "new_password": new_password});
    Request::post("/v1/auth/password/reset", &body)
}

/// `GET /v1/auth/me`: 200 and the user.
pub fn me(token: &str) -> Request {
    Request::get("/v1/auth/me").bearer(token)
}

/// `PATCH /v1/auth/me`: 200 and the user. `changes` has `display_name` and `avatar_url`, each
/// optional; null clears.
pub fn update_profile(token: &str, changes: &Value) -> Request {
    Request::new(Method::PATCH, "/v1/auth/me").json(changes).bearer(token)
}

/// `GET /v1/contacts`: 200, the contacts and the invitations.
pub fn contacts(token: &str) -> Request {
    Request::get("/v1/contacts").bearer(token)
}

/// `DELETE /v1/contacts/invitations/{invitation_id}`: 204.
pub fn withdraw_invitation(token: &str, invitation_id: i64) -> Request {
    let path = format!("/v1/contacts/invitations/{invitation_id}");
    Request::new(Method::DELETE, path).bearer(token)
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

/// `PATCH /v1/rooms/{room_id}`: 200 and the room.
pub fn rename_room(token: &str, room_id: i64, name: &str) -> Request {
    let request = Request::new(Method::PATCH, format!("/v1/rooms/{room_id}"));
    request.json(&json!({"name": name})).bearer(token)
}

/// `PUT /v1/rooms/{room_id}/owner`: 200 and the room.
pub fn set_owner(token: &str, room_id: i64, username: &str) -> Request {
    let request = Request::new(Method::PUT, format!("/v1/rooms/{room_id}/owner"));
    request.json(&json!({"username": username})).bearer(token)
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
