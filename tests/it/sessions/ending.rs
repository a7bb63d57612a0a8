//! Everything that ends sessions, at both gateways, on REST and on open sockets.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlance_client::{Method, Request, endpoints};
use parlance_devstack::Stack;
use serde_json::{Value, json};

use super::{Session, is_revoked, log_in};
use crate::support::{
    Ended, PASSWORD, Person, Socket, assert_members, auth_command, eventually, people, person,
    stack,
};

/// A session with open sockets at both gateways.
async fn with_sockets(stack: &Stack, person: &Person) -> (Session, Vec<Socket>) {
    let session = log_in(person).await;
    let sockets = vec![session.socket().await, session.at(stack, 1).socket().await];
    (session, sockets)
}

/// Asserts that a session is refused everywhere and that its sockets are closed.
async fn has_ended(stack: &Stack, (session, mut sockets): (Session, Vec<Socket>)) {
    for socket in &mut sockets {
        is_revoked(socket).await;
    }
    session.is_ended(stack).await;
    for gateway in [0, 1] {
        let address = stack.address("gateway", gateway);
        let authorization = ("authorization", format!("Bearer {}", session.token));
        assert_eq!(Socket::connect(address, [authorization]).await.err(), Some(401));
        let mut late = Socket::open(address, None).await;
        late.send(&json!({"type": "auth", "token": session.token})).await;
        is_revoked(&mut late).await;
    }
}

/// Asserts that a session goes on.
async fn goes_on((session, sockets): &mut (Session, Vec<Socket>)) {
    session.me().await.ok(200);
    for socket in sockets.iter_mut() {
        assert_eq!(socket.so_far().await, Vec::<Value>::new());
    }
}

/// The token of a user as it was before sessions existed, signed with auth's own key.
async fn token_without_session(stack: &Stack, person: &Person) -> String {
    let part = |index| {
        let part = person.token.split('.').nth(index).unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let (header, mut claims) = (part(0), part(1));
    claims.as_object_mut().unwrap().remove("sid");
    claims["jti"] = json!(crate::support::fresh_name());
    let kid = header["kid"].as_str().unwrap();
    let mut connection = stack.postgres().connect("parlance").await.unwrap();
    let query = "SELECT private_key FROM auth.signing_keys WHERE kid = $1";
    let key: Vec<u8> =
        sqlx::query_scalar(query).bind(kid).fetch_one(&mut connection).await.unwrap();
    let header = Header {
        typ: Some("JWT".to_owned()),
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&key)).unwrap()
}

async fn list(session: &Session) -> Vec<Value> {
    let answer = session.send(endpoints::sessions(&session.token)).await.ok(200);
    assert_members(&answer, &["sessions"]);
    answer["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (ended, mut other) = (with_sockets(stack, &anna).await, with_sockets(stack, &anna).await);
    let answer = ended.0.send(endpoints::logout(&ended.0.token)).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    has_ended(stack, ended).await;
    goes_on(&mut other).await;
}

#[tokio::test]
async fn a_session_can_be_ended_by_another_one_and_by_itself() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (ended, mut other) = (with_sockets(stack, &anna).await, with_sockets(stack, &anna).await);
    other.0.send(endpoints::end_session(&other.0.token, ended.0.id)).await.ok(204);
    other
        .0
        .send(endpoints::end_session(&other.0.token, ended.0.id))
        .await
        .refused(404, "session_not_found");
    has_ended(stack, ended).await;
    goes_on(&mut other).await;
    other.0.send(endpoints::end_session(&other.0.token, other.0.id)).await.ok(204);
    has_ended(stack, other).await;
}

#[tokio::test]
async fn sessions_of_others_ended_ones_and_those_that_never_were_are_not_found() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let (session, other) = (log_in(&anna).await, log_in(&ben).await);
    let end = async |id| session.send(endpoints::end_session(&session.token, id)).await;
    for id in [other.id, i64::MAX] {
        end(id).await.refused(404, "session_not_found");
    }
    for id in ["0", "-1", "9223372036854775808", "x"] {
        let request = Request::new(Method::DELETE, format!("/v1/auth/sessions/{id}"));
        assert_eq!(session.send(request.bearer(&session.token)).await.status, 422, "{id}");
    }
    other.me().await.ok(200);
}

#[tokio::test]
async fn all_other_sessions_end_at_once() {
    let stack = stack().await;
    let anna = person(stack).await;
    let mut kept = with_sockets(stack, &anna).await;
    let ended = [with_sockets(stack, &anna).await, with_sockets(stack, &anna).await];
    kept.0.send(endpoints::end_other_sessions(&kept.0.token)).await.ok(204);
    for session in ended {
        has_ended(stack, session).await;
    }
    goes_on(&mut kept).await;
    assert_eq!(list(&kept.0).await.len(), 1);
}

#[tokio::test]
async fn sessions_are_listed_newest_first_with_where_they_began() {
    let stack = stack().await;
    let anna = person(stack).await;
    let login = endpoints::login_with_refresh(&anna.name, PASSWORD);
    let answer = anna.api.send(login.header("user-agent", "curl/8")).await.ok(200);
    let session = Session::new(&anna.api, &answer);
    let sessions = list(&session).await;
    assert_eq!(sessions.len(), 2, "that of the registration test helper, and this one");
    for listed in &sessions {
        let members = ["id", "created_at", "last_used_at", "expires_at", "user_agent", "address"];
        assert_members(listed, &[&members[..], &["is_current"]].concat());
        assert_eq!(listed["is_current"], listed["id"] == session.id);
        assert_eq!(listed["address"], "127.0.0.1");
        assert_eq!(listed["created_at"], listed["last_used_at"]);
        assert!(listed["created_at"].as_str() < listed["expires_at"].as_str());
    }
    assert_eq!(
        (&sessions[0]["id"], &sessions[0]["user_agent"]),
        (&json!(session.id), &json!("curl/8"))
    );
    assert_eq!(sessions[1]["user_agent"], Value::Null);

    session.refreshed().await;
    let refreshed = list(&session).await[0].clone();
    assert!(refreshed["last_used_at"].as_str() > sessions[0]["last_used_at"].as_str());
    assert_eq!(refreshed["created_at"], sessions[0]["created_at"]);
}

#[tokio::test]
async fn the_oldest_of_more_than_a_hundred_sessions_ends() {
    let stack = stack().await;
    let anna = person(stack).await;
    let mut first = (Session { refresh_token: String::new(), ..log_in(&anna).await }, Vec::new());
    first.1.push(first.0.socket().await);
    for _ in 0..100 {
        log_in(&anna).await;
    }
    is_revoked(&mut first.1[0]).await;
    assert_eq!(list(&log_in(&anna).await).await.len(), 100);
}

#[tokio::test]
async fn an_operator_ends_all_sessions_of_a_user() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let (ended, mut other) = (with_sockets(stack, &anna).await, with_sockets(stack, &ben).await);
    auth_command(stack, &["end-sessions", &anna.name.to_uppercase()], &[]).await;
    has_ended(stack, ended).await;
    goes_on(&mut other).await;
}

#[tokio::test]
async fn tokens_from_before_sessions_work_and_end_alone_or_with_all() {
    let stack = stack().await;
    let anna = person(stack).await;
    let old = [
        token_without_session(stack, &anna).await,
        token_without_session(stack, &anna).await,
        token_without_session(stack, &anna).await,
    ];
    let is_refused = async |token: &str| {
        for gateway in [0, 1] {
            let api = anna.at(stack, gateway).api;
            let is_over = async || api.send(endpoints::me(token)).await.status == 401;
            eventually(super::SOON, "the token is refused", is_over).await;
            api.send(endpoints::me(token)).await.refused(401, "session_revoked");
        }
    };
    let mut socket = Socket::open(anna.api.gateway, Some(&old[0])).await;
    assert_eq!(socket.next().await["type"], "success");
    anna.api.send(endpoints::logout(&old[0])).await.ok(204);
    is_revoked(&mut socket).await;
    is_refused(&old[0]).await;

    // Called without a session, it ends all, its own token too.
    let mut session = with_sockets(stack, &anna).await;
    goes_on(&mut session).await;
    anna.api.send(endpoints::end_other_sessions(&old[1])).await.ok(204);
    has_ended(stack, session).await;
    is_refused(&old[1]).await;
    is_refused(&old[2]).await;
}

#[tokio::test]
async fn a_deactivated_user_is_inactive_and_back_without_any_session() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (session, mut sockets) = with_sockets(stack, &anna).await;
    let old = token_without_session(stack, &anna).await;
    auth_command(stack, &["deactivate", &anna.name], &[]).await;
    for socket in &mut sockets {
        is_revoked(socket).await;
    }
    for gateway in [0, 1] {
        let api = anna.at(stack, gateway).api;
        for token in [&session.token, &old] {
            api.send(endpoints::me(token)).await.refused(401, "inactive_user");
            let mut late = Socket::open(api.gateway, None).await;
            late.send(&json!({"type": "auth", "token": token})).await;
            assert_eq!(late.closed().await, Ended(Some(4403)));
        }
    }
    session.refresh().await.refused(401, "session_revoked");
    auth_command(stack, &["activate", &anna.name], &[]).await;
    for gateway in [0, 1] {
        let api = anna.at(stack, gateway).api;
        for token in [&session.token, &old] {
            let is_revoked =
                async || api.send(endpoints::me(token)).await.text.contains("session_revoked");
            eventually(super::SOON, "the old token is revoked", is_revoked).await;
        }
    }
    log_in(&anna).await.me().await.ok(200);
}

#[tokio::test]
async fn leaked_keys_end_everything_on_rest_and_on_sockets() {
    let stack = &Stack::builder().replicas(2).gateways(2).start().await.unwrap();
    let anna = person(stack).await;
    let (session, mut sockets) = with_sockets(stack, &anna).await;
    auth_command(stack, &["rotate-keys", "--leaked"], &[("KEY_PUBLICATION_LEAD", "3")]).await;
    for socket in &mut sockets {
        is_revoked(socket).await;
    }
    for gateway in [0, 1] {
        let session = session.at(stack, gateway);
        let is_out = async || session.me().await.status == 401;
        eventually(Duration::from_secs(6), "the token is refused", is_out).await;
        session.refresh().await.refused(401, "session_revoked");
        let new = log_in(&anna.at(stack, gateway)).await;
        let is_in = async || new.me().await.status == 200;
        eventually(Duration::from_secs(2), "the new token is accepted", is_in).await;
    }
}
