//! Rules of all endpoints: the order of refusals, headers, ids.

use std::time::Duration;

use parlance_client::{Method, Request};
use parlance_devstack::Stack;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Answer, Api, Person, assert_members, people, person, stack};

/// The method and the path of every endpoint that needs a token, with ids that nothing has.
pub(crate) const PROTECTED: [(&str, &str); 21] = [
    ("GET", "/v1/auth/me"),
    ("PATCH", "/v1/auth/me"),
    ("POST", "/v1/contacts/invite"),
    ("POST", "/v1/contacts/1/accept"),
    ("POST", "/v1/contacts/1/reject"),
    ("DELETE", "/v1/contacts/invitations/1"),
    ("GET", "/v1/contacts"),
    ("GET", "/v1/contacts/check/somebody"),
    ("POST", "/v1/rooms"),
    ("GET", "/v1/rooms"),
    ("GET", "/v1/rooms/1"),
    ("PATCH", "/v1/rooms/1"),
    ("DELETE", "/v1/rooms/1"),
    ("PUT", "/v1/rooms/1/owner"),
    ("POST", "/v1/rooms/1/members"),
    ("DELETE", "/v1/rooms/1/members/somebody"),
    ("POST", "/v1/rooms/1/leave"),
    ("GET", "/v1/messages/rooms/1/history"),
    ("POST", "/v1/messages/rooms/1"),
    ("PATCH", "/v1/messages/1"),
    ("DELETE", "/v1/messages/1"),
];

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

async fn api() -> Api {
    Api::at(stack().await, 0)
}

/// Sends a request without a token.
async fn ask(name: &str, path: &str) -> Answer {
    api().await.send(Request::new(method(name), path)).await
}

async fn ask_with_header(path: &str, name: &str, value: &str) -> Answer {
    api().await.send(Request::get(path).header(name, value)).await
}

#[tokio::test]
async fn unknown_paths_are_not_found_with_a_token_or_without() {
    let anna = person(stack().await).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/rooms/",
        "/v1//rooms",
        "/v2/rooms",
        "/v1/contacts/1",
        "/docs/",
        "/v1/auth/me/",
    ] {
        for name in ["GET", "POST", "DELETE", "BREW"] {
            ask(name, path).await.refused(404, "not_found");
            let request = Request::new(method(name), path).body("{");
            anna.send(request).await.refused(404, "not_found");
            let forged = Request::new(method(name), path).bearer("forged");
            api().await.send(forged).await.refused(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_allowed_ones() {
    for (name, path, allowed) in [
        ("GET", "/v1/auth/register", "POST"),
        ("GET", "/v1/auth/login", "POST"),
        ("POST", "/v1/auth/me", "GET,HEAD,PATCH"),
        ("DELETE", "/v1/contacts", "GET,HEAD"),
        ("PUT", "/v1/rooms", "GET,HEAD,POST"),
        ("PUT", "/v1/rooms/1", "DELETE,GET,HEAD,PATCH"),
        ("GET", "/v1/rooms/1/owner", "PUT"),
        ("GET", "/v1/contacts/invitations/1", "DELETE"),
        ("GET", "/v1/rooms/1/leave", "POST"),
        ("GET", "/v1/messages/1", "DELETE,PATCH"),
        ("GET", "/v1/messages/rooms/1", "POST"),
        ("OPTIONS", "/v1/rooms", "GET,HEAD,POST"),
        ("BREW", "/v1/healthz", "GET,HEAD"),
    ] {
        let answer = ask(name, path).await;
        let mut methods: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{name} {path}");
        answer.refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_missing_token_is_reported_before_an_invalid_request() {
    for (name, path) in PROTECTED {
        ask(name, path).await.refused(401, "unauthenticated");
        let wrong = path.replace("/1", "/zero") + "?limit=0";
        let request =
            Request::new(method(name), wrong).header("content-type", "text/plain").body("{");
        api().await.send(request).await.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn an_invalid_token_is_reported_before_an_invalid_request() {
    for (name, path) in PROTECTED {
        let request = Request::new(method(name), path).bearer("x.y.z").body("{");
        api().await.send(request).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn the_scheme_of_a_token_ignores_case() {
    let anna = person(stack().await).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        ask_with_header("/v1/auth/me", "authorization", &format!("{scheme} {}", anna.token))
            .await
            .ok(200);
    }
    for value in ["Basic YTpi", "Bearer", "Bearer ", &anna.token] {
        ask_with_header("/v1/auth/me", "authorization", value)
            .await
            .refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_is_read_only_from_its_header() {
    let anna = person(stack().await).await;
    let answer = ask("GET", &format!("/v1/auth/me?token={0}&access_token={0}", anna.token)).await;
    answer.refused(401, "unauthenticated");
}

/// Every endpoint with an id: its method, the path before the id, and the path after it.
const WITH_ID: [(&str, &str, &str); 11] = [
    ("POST", "/v1/contacts/", "/accept"),
    ("POST", "/v1/contacts/", "/reject"),
    ("GET", "/v1/rooms/", ""),
    ("DELETE", "/v1/rooms/", ""),
    ("POST", "/v1/rooms/", "/members"),
    ("DELETE", "/v1/rooms/", "/members/somebody"),
    ("POST", "/v1/rooms/", "/leave"),
    ("GET", "/v1/messages/rooms/", "/history"),
    ("POST", "/v1/messages/rooms/", ""),
    ("PATCH", "/v1/messages/", ""),
    ("DELETE", "/v1/messages/", ""),
];

/// Sends a request of a user, with a body that is valid for every endpoint.
async fn ask_about(person: &Person, name: &str, path: &str) -> Answer {
    let body = json!({"content": "x", "usernames": ["somebody"]});
    let request = Request::new(method(name), path);
    person.send(if name == "GET" { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn an_impossible_id_is_refused() {
    let anna = person(stack().await).await;
    for (name, before, after) in WITH_ID {
        for (id, kind) in [
            ("0", "greater_than_equal"),
            ("-1", "greater_than_equal"),
            ("-99999999999999999999", "greater_than_equal"),
            ("9223372036854775808", "less_than_equal"),
            ("99999999999999999999999999999999", "less_than_equal"),
            ("abc", "int_parsing"),
            ("1.0", "int_parsing"),
            ("1e3", "int_parsing"),
            ("0x1", "int_parsing"),
            ("%20", "int_parsing"),
            ("%00", "int_parsing"),
            ("%ff", "int_parsing"),
            ("٣", "int_parsing"),
        ] {
            let answer = ask_about(&anna, name, &format!("{before}{id}{after}")).await;
            let parameter = match before {
                "/v1/contacts/" => "invitation_id",
                "/v1/messages/" => "message_id",
                _ => "room_id",
            };
            answer.invalid(&[&format!("path.{parameter} {kind}")]);
        }
        let answer = ask_about(&anna, name, &format!("{before}{}{after}", i64::MAX)).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
}

#[tokio::test]
async fn unknown_members_and_parameters_are_ignored() {
    let anna = person(stack().await).await;
    let body = json!({"name": "Den", "owner": 5, "is_system": true, "id": null, "": {}});
    let room = anna.post("/v1/rooms?limit=x&room_id=0", &body).await.ok(201);
    assert_eq!((&room["name"], &room["is_system"]), (&json!("Den"), &json!(false)));
    assert_eq!(room["owner"]["id"], anna.id);
    anna.get("/v1/contacts?after_id=0&%ff=%00").await.ok(200);
}

#[tokio::test]
async fn a_valid_request_id_is_kept() {
    for id in ["a", "A-z_0.9", &"x".repeat(128)] {
        for path in ["/v1/healthz", "/v1/rooms", "/nowhere"] {
            assert_eq!(ask_with_header(path, "x-request-id", id).await.header("x-request-id"), id);
        }
    }
}

#[tokio::test]
async fn any_other_request_id_is_replaced() {
    let mut made = vec![ask("GET", "/v1/healthz").await.header("x-request-id").to_owned()];
    for id in ["", "a b", "a/b", "a;b", "\"a\"", "a:b", &"x".repeat(129)] {
        let answer = ask_with_header("/v1/healthz", "x-request-id", id).await;
        made.push(answer.header("x-request-id").to_owned());
        assert_ne!(answer.header("x-request-id"), id);
    }
    let is_sane = |id: &String| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    assert!(made.iter().all(is_sane), "{made:?}");
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 8, "each is another one");
}

#[tokio::test]
async fn cors_headers_are_on_every_answer_for_allowed_origins() {
    let anna = person(stack().await).await;
    for (path, status) in
        [("/v1/auth/me", 200), ("/v1/rooms/0", 422), ("/v1/rooms/1/leave", 405), ("/nowhere", 404)]
    {
        let request = Request::get(path).header("origin", "http://localhost:3000");
        let answer = anna.send(request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:3000");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
        assert_eq!(answer.header("vary").to_lowercase(), "origin");
    }
    let refused = ask_with_header("/v1/rooms", "origin", "http://localhost:3000").await;
    assert_eq!(refused.header("access-control-allow-origin"), "http://localhost:3000");
    refused.refused(401, "unauthenticated");
}

#[tokio::test]
async fn cors_headers_are_absent_for_other_origins() {
    for origin in [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost:3000.evil.example",
        "null",
    ] {
        let answer = ask_with_header("/v1/healthz", "origin", origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        assert_eq!(answer.header("vary").to_lowercase(), "origin");
    }
    assert_eq!(ask("GET", "/v1/healthz").await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_preflight_allows_every_method_and_header_of_the_api() {
    for (name, path) in PROTECTED {
        let request = Request::new(Method::OPTIONS, path).header("origin", "http://localhost:3000");
        let request = request.header("access-control-request-method", name);
        let request = request
            .header("access-control-request-headers", "authorization, content-type, x-request-id");
        let answer = api().await.send(request).await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:3000");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(
            answer
                .header("access-control-allow-methods")
                .split(", ")
                .any(|allowed| allowed == name)
        );
        for header in ["authorization", "content-type", "x-request-id"] {
            let allowed = answer.header("access-control-allow-headers").to_lowercase();
            assert!(allowed.split(", ").any(|allowed| allowed == header), "{allowed}");
        }
    }
}

#[tokio::test]
async fn times_are_precise_to_the_microsecond() {
    let [anna, ben] = people(stack().await).await;
    let invite =
        async || anna.post("/v1/contacts/invite", &json!({"username": ben.name})).await.ok(200);
    let mut invitations = Vec::new();
    for _ in 0..3 {
        invitations.push(invite().await);
        let path = format!("/v1/contacts/{}/reject", invitations.last().unwrap()["id"]);
        ben.post_empty(&path).await.ok(204);
    }
    let mut users = Vec::new();
    for person in [&anna, &ben, &person(stack().await).await] {
        users.push(person.get("/v1/auth/me").await.ok(200));
    }
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(anna.post("/v1/rooms", &json!({"name": "Den"})).await.ok(201));
    }
    let room = rooms[0]["id"].as_i64().unwrap();
    let messages = [
        anna.send_message(room, "x").await,
        anna.send_message(room, "x").await,
        anna.send_message(room, "x").await,
    ];
    for objects in [&invitations[..], &users, &rooms, &messages] {
        // Three times end in 000 by chance once in 1,000,000,000 runs.
        let is_coarse = |object: &Value| object["created_at"].as_str().unwrap().ends_with("000Z");
        assert!(!objects.iter().all(is_coarse), "{objects:?}");
    }
}

#[tokio::test]
async fn no_answer_contains_a_version() {
    for path in ["/v1/healthz", "/nowhere", "/v1/rooms", "/docs"] {
        let answer = ask("GET", path).await;
        for name in ["server", "x-powered-by", "via"] {
            let value = answer.header(name);
            assert!(!value.contains(|c: char| c.is_ascii_digit()), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn health_keys_and_documents_need_no_token() {
    assert_eq!(ask("GET", "/v1/healthz").await.ok(200), json!({"status": "ok"}));
    let keys = ask("GET", "/.well-known/jwks.json").await.ok(200);
    assert_members(&keys, &["keys"]);
    assert!(!keys["keys"].as_array().unwrap().is_empty());
    let page = ask("GET", "/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn the_openapi_document_has_every_endpoint() {
    let document = ask("GET", "/v1/openapi.json").await.ok(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for (name, path) in
        PROTECTED.iter().chain(&[("POST", "/v1/auth/register"), ("POST", "/v1/auth/login")])
    {
        let is_it = |known: &String| {
            let (known, path): (Vec<_>, Vec<_>) =
                (known.split('/').collect(), path.split('/').collect());
            known.len() == path.len()
                && known
                    .iter()
                    .zip(&path)
                    .all(|(known, path)| known == path || known.starts_with('{'))
        };
        let paths = document["paths"].as_object().unwrap();
        let operation = paths
            .iter()
            .filter(|(known, _)| is_it(known))
            .any(|(_, item)| !matches!(item[name.to_lowercase()], Value::Null));
        assert!(operation, "{name} {path}");
    }
}

#[tokio::test]
async fn a_503_has_the_request_id_and_not_the_cause() {
    let stack = Stack::builder().start().await.unwrap();
    let anna = person(&stack).await;
    stack.process("contacts", 0).kill().await.unwrap();
    let request = Request::get("/v1/contacts").header("x-request-id", "my-id");
    let answer = timeout(Duration::from_secs(5), anna.send(request)).await.unwrap();
    assert_eq!(
        (answer.header("x-request-id"), &answer.json()["request_id"]),
        ("my-id", &json!("my-id"))
    );
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    for word in ["contacts", "grpc", "tcp", "connect", "transport", "127.0.0.1"] {
        assert!(!answer.text.to_lowercase().contains(word), "{answer:?}");
    }
    answer.refused(503, "unavailable");
    anna.get("/v1/rooms").await.ok(200);
}
