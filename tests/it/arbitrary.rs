//! Arbitrary input never gets a 5xx, and every refusal has the documented shape.

use parlance_client::{Method, Request};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::conventions::PROTECTED;
use crate::support::{Answer, assert_members, make_room, people, stack};

const REQUESTS: usize = 400;
/// The members of all bodies of the API.
const MEMBERS: [&str; 7] =
    ["username", "password", "name", "member_usernames", "usernames", "content", "client_msg_id"];

fn any_json() -> impl Strategy<Value = Value> {
    let text =
        prop_oneof![".{0,80}", "\\PC{0,10}", "[a-z]{3,20}", "\u{0}{1,3}", "[ \t\u{3000}]{0,4}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A body with some of the known members and arbitrary values.
fn any_object() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_map(prop::sample::select(&MEMBERS[..]), any_json(), 0..=MEMBERS.len())
        .prop_map(|members| {
            let members: Map<_, _> =
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Value::Object(members).to_string().into_bytes()
        })
}

/// A body, mostly JSON, sometimes truncated or damaged.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (any_object(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut body, index, byte)| {
            let index = index.index(body.len());
            body[index] = byte;
            body
        },
    );
    let cut = (any_object(), any::<prop::sample::Index>()).prop_map(|(mut body, index)| {
        body.truncate(index.index(body.len()));
        body
    });
    prop_oneof![
        6 => any_object(),
        2 => damaged,
        1 => cut,
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// An endpoint with an arbitrary id, name and query.
fn any_call(room: i64) -> impl Strategy<Value = (&'static str, String)> {
    let calls: Vec<(&str, &str)> = PROTECTED
        .into_iter()
        .chain([("POST", "/v1/auth/register"), ("POST", "/v1/auth/login")])
        .collect();
    let any_id = any::<i64>().prop_map(|id| id.to_string());
    let id = prop_oneof![4 => Just(room.to_string()), 1 => any_id, 1 => "[%0-9a-f.-]{1,24}"];
    let name = prop_oneof!["[a-zA-Z0-9]{1,20}", "(%[0-9a-f]{2}){1,9}"];
    let query = prop_oneof![
        2 => Just(String::new()),
        1 => "\\?limit=[0-9-]{0,22}&before_id=[0-9a-z%+]{0,22}",
        1 => "\\?(after_id|limit|before_id)=[0-9]{1,3}(&[a-z_=%0-9]{0,20})?",
    ];
    (prop::sample::select(calls), id, name, query).prop_map(|((method, path), id, name, query)| {
        (method, path.replace("/1", &format!("/{id}")).replace("somebody", &name) + &query)
    })
}

/// Asserts that the answer has a documented shape.
fn assert_answer(answer: &Answer, what: &str) {
    assert!(answer.status.as_u16() < 500, "{what}: {answer:?}");
    if answer.status.as_u16() < 400 {
        return;
    }
    let body = answer.json();
    assert_members(&body, &["detail", "code"]);
    assert!(body["code"].is_string(), "{what}: {answer:?}");
    if answer.status == 422 {
        for entry in body["detail"].as_array().unwrap() {
            assert_members(entry, &["loc", "msg", "type"]);
        }
    } else {
        assert!(body["detail"].is_string(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn no_input_gives_a_5xx_or_an_answer_of_another_shape() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut runner = TestRunner::default();
    let (calls, bodies) = (any_call(room), any_body());
    for _ in 0..REQUESTS {
        let (method, path) = calls.new_tree(&mut runner).unwrap().current();
        let body = bodies.new_tree(&mut runner).unwrap().current();
        let what = format!("{method} {path} {:?}", String::from_utf8_lossy(&body));
        let request = Request::new(method.parse::<Method>().unwrap(), path);
        let answer = anna.send(request.header("content-type", "application/json").body(body)).await;
        assert_answer(&answer, &what);
    }
}

#[tokio::test]
async fn no_header_gives_a_5xx() {
    let stack = stack().await;
    let [anna] = people(stack).await;
    let mut runner = TestRunner::default();
    let names = prop::sample::select(vec![
        "authorization",
        "origin",
        "content-type",
        "x-request-id",
        "traceparent",
        "accept",
    ]);
    let values = prop_oneof![
        prop::collection::vec(prop_oneof![Just(9_u8), 32..=126_u8, 128..=255_u8], 0..300),
        "(Bearer|bearer) [A-Za-z0-9_.-]{0,200}".prop_map(String::into_bytes),
        "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}".prop_map(String::into_bytes),
    ];
    for _ in 0..REQUESTS / 2 {
        let name = names.new_tree(&mut runner).unwrap().current();
        let value = values.new_tree(&mut runner).unwrap().current();
        let request = Request::new(Method::POST, "/v1/rooms").header(name, &value);
        let answer = anna.api.send(request.body(json!({"name": "x"}).to_string())).await;
        assert_answer(&answer, &format!("{name}: {:?}", String::from_utf8_lossy(&value)));
    }
}
