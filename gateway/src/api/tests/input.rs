use axum::response::IntoResponse;
use http_body_util::BodyExt;
use parlance_core::{Password, RoomName, Username};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn input(body: &str) -> Input {
    let mut input = Input::default();
    input.read_body(body.as_bytes());
    input
}

fn with_query(pairs: &[(&str, &str)]) -> Input {
    let owned =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Input::new(Vec::new(), owned)
}

/// Returns the errors as clients see them: each place with its kind.
async fn errors_of(input: Input) -> Vec<(Value, String)> {
    let response = input.into_error().into_response();
    assert_eq!(response.status(), 422);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let entries = body["detail"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["loc"].clone(), entry["type"].as_str().unwrap().to_owned()))
        .collect()
}

fn entry(loc: Value, kind: &str) -> (Value, String) {
    (loc, kind.to_owned())
}

#[tokio::test]
async fn a_text_can_be_too_short_or_too_long() {
    let long = "a".repeat(256);
    for (name, kind) in
        [("", "string_too_short"), (&long, "string_too_long"), ("a\0", "value_error")]
    {
        let mut input = input(&json!({ "name": name }).to_string());
        assert!(input.parsed("name", RoomName::parse).is_err());
        assert_eq!(errors_of(input).await, [entry(json!(["body", "name"]), kind)]);
    }
}

#[tokio::test]
async fn lists_are_checked_element_by_element() {
    let mut some = input(r#"{"usernames": ["ann", 1, null]}"#);
    assert!(some.texts("usernames", 1).is_err());
    let expected = [1, 2].map(|index| entry(json!(["body", "usernames", index]), "string_type"));
    assert_eq!(errors_of(some).await, expected);

    for (body, kind) in [
        (r#"{"usernames": []}"#, "too_short"),
        (r#"{"usernames": null}"#, "list_type"),
        (r#"{"usernames": "ann"}"#, "list_type"),
        ("{}", "missing"),
    ] {
        let mut input = input(body);
        assert!(input.texts("usernames", 1).is_err());
        assert_eq!(errors_of(input).await, [entry(json!(["body", "usernames"]), kind)], "{body}");
    }
}

#[tokio::test]
async fn an_optional_field_may_be_absent_but_not_null() {
    let mut absent = input("{}");
    assert_eq!(absent.texts("member_usernames", 0).unwrap(), Vec::<String>::new());
    assert!(absent.optional("name", RoomName::parse).unwrap().is_none());

    let mut null = input(r#"{"member_usernames": null, "name": null}"#);
    assert!(null.texts("member_usernames", 0).is_err());
    assert!(null.optional("name", RoomName::parse).is_err());
    let expected = [
        entry(json!(["body", "member_usernames"]), "list_type"),
        entry(json!(["body", "name"]), "string_type"),
    ];
    assert_eq!(errors_of(null).await, expected);
}

#[tokio::test]
async fn bad_content_has_its_own_code_only_if_it_is_the_only_error() {
    let mut alone = input(r#"{"content": " "}"#);
    assert!(alone.content("content").is_err());
    assert_eq!(alone.into_error().code, ErrorCode::ContentInvalid);

    let mut both = input(r#"{"content": " "}"#);
    assert!(both.content("content").is_err() && RoomId::from_input(&mut both).is_err());
    assert_eq!(both.into_error().code, ErrorCode::Validation);
}

#[tokio::test]
async fn numbers_beyond_64_bits_are_out_of_range() {
    for (text, kind) in [
        ("", "int_parsing"),
        ("abc", "int_parsing"),
        ("1.5", "int_parsing"),
        ("-", "int_parsing"),
        (" 5", "int_parsing"),
        ("٣", "int_parsing"),
        ("99999999999999999999x", "int_parsing"),
        ("0", "greater_than_equal"),
        ("-1", "greater_than_equal"),
        ("-99999999999999999999", "greater_than_equal"),
        ("101", "less_than_equal"),
        ("99999999999999999999", "less_than_equal"),
    ] {
        let mut input = with_query(&[("limit", text)]);
        assert!(input.query_integer("limit", 1..=100).is_err());
        assert_eq!(errors_of(input).await, [entry(json!(["query", "limit"]), kind)], "{text:?}");
    }
}

#[test]
fn the_last_of_repeated_parameters_counts() {
    let mut input = with_query(&[("limit", "x"), ("limit", "7")]);
    assert_eq!(input.query_integer("limit", 1..=100).unwrap(), Some(7));
    assert_eq!(input.query_integer("other", 1..=100).unwrap(), None);
}

/// Any JSON, with many of the names and types that endpoints read.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z0-9]{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof![
            Just("username".to_owned()),
            Just("password".to_owned()),
            Just("name".to_owned()),
            Just("content".to_owned()),
            Just("usernames".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Reads all that any endpoint reads. Either all is valid, or the answer is 422 with the errors.
fn read_everything(body: &[u8], query: &str, path: &str) -> Result<(), TestCaseError> {
    let mut input = Input::new(
        vec![("room_id".to_owned(), path.to_owned())],
        vec![("limit".to_owned(), query.to_owned()), ("before_id".to_owned(), query.to_owned())],
    );
    input.read_body(body);
    let are_valid = [
        RoomId::from_input(&mut input).is_ok(),
        input.query_integer("limit", 1..=100).is_ok(),
        input.query_id("before_id").is_ok(),
        input.parsed("username", Username::parse).is_ok(),
        input.parsed("password", Password::parse).is_ok(),
        input.optional("name", RoomName::parse).is_ok(),
        input.texts("usernames", 1).is_ok(),
        input.content("content").is_ok(),
    ];
    let errors = input.errors.len();
    if are_valid.contains(&false) {
        prop_assert!(errors > 0);
        prop_assert_eq!(input.into_error().into_response().status(), 422);
    } else {
        prop_assert_eq!(errors, 0);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(body in any_json(), query in ".*", path in ".*") {
        read_everything(body.to_string().as_bytes(), &query, &path)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        body in prop::collection::vec(any::<u8>(), 0..200),
        number in "[+-]?[0-9]{0,25}",
    ) {
        read_everything(&body, &number, &number)?;
    }
}

#[tokio::test]
async fn the_change_of_a_text_sets_clears_or_keeps_it() {
    let read = |body: Value| input(&body.to_string()).text_change("name", RoomName::parse);
    assert!(matches!(read(json!({"name": "x"})), Ok(Some(Some(name))) if name.as_str() == "x"));
    assert!(matches!(read(json!({"name": null})), Ok(Some(None))));
    assert!(matches!(read(json!({"other": "x"})), Ok(None)));
    for (name, kind) in [(json!(1), "string_type"), (json!(""), "string_too_short")] {
        let mut input = input(&json!({ "name": name }).to_string());
        assert!(input.text_change("name", RoomName::parse).is_err());
        assert_eq!(errors_of(input).await, [entry(json!(["body", "name"]), kind)]);
    }
}
