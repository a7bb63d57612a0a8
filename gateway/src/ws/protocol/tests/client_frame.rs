use proptest::prelude::*;

use super::*;

fn parse_error(text: &str) -> ErrorFrame {
    ClientFrame::parse(text).expect_err(text)
}

fn assert_code(code: ErrorCode, texts: &[&str]) {
    for text in texts {
        assert_eq!(parse_error(text).code, code, "{text}");
    }
}

#[test]
fn every_request_is_parsed() {
    for text in [
        r#"{"type":"auth","token":"t"}"#,
        r#"{"type":"subscribe","room_id":5,"ref":"r"}"#,
        r#"{"type":"subscribe","room_id":5,"after_seq":0,"unknown":[]}"#,
        r#"{"type":"unsubscribe","room_id":5}"#,
        r#"{"type":"send_message","room_id":5,"content":"x","client_msg_id":"c"}"#,
        r#"{"type":"edit_message","message_id":5,"content":"x"}"#,
        r#"{"type":"delete_message","message_id":5}"#,
        r#"{"type":"typing","room_id":5}"#,
        r#"{"type":"ping"}"#,
    ] {
        ClientFrame::parse(text).expect(text);
    }
}

#[test]
fn a_text_that_is_no_object_is_invalid_json() {
    assert_code(
        ErrorCode::InvalidJson,
        &["", "{", "[]", "1", "null", r#""x""#, r#"{"type":"ping"} x"#, "NaN"],
    );
    assert_code(ErrorCode::InvalidJson, &[r#"{"type":"\ud800"}"#]);
}

#[test]
fn missing_and_wrong_fields_are_invalid_frames() {
    let long = "x".repeat(65);
    let long_client_msg_id =
        format!(r#"{{"type":"send_message","room_id":1,"content":"x","client_msg_id":"{long}"}}"#);
    assert_code(
        ErrorCode::InvalidFrame,
        &[
            "{}",
            r#"{"type":null}"#,
            r#"{"type":5}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","room_id":"5"}"#,
            r#"{"type":"subscribe","room_id":0}"#,
            r#"{"type":"subscribe","room_id":-1}"#,
            r#"{"type":"subscribe","room_id":1.5}"#,
            r#"{"type":"subscribe","room_id":9223372036854775808}"#,
            r#"{"type":"subscribe","room_id":1,"after_seq":-1}"#,
            r#"{"type":"subscribe","room_id":1,"after_seq":null}"#,
            r#"{"type":"send_message","room_id":1}"#,
            r#"{"type":"send_message","room_id":1,"content":null}"#,
            r#"{"type":"send_message","room_id":1,"content":"x","client_msg_id":""}"#,
            r#"{"type":"send_message","room_id":1,"content":"x","client_msg_id":null}"#,
            &long_client_msg_id,
            r#"{"type":"ping","ref":5}"#,
            &format!(r#"{{"type":"ping","ref":"{long}"}}"#),
        ],
    );
}

#[test]
fn content_that_breaks_the_rules_has_its_own_code() {
    for content in ["", " \\n", "a\\u0000b", &"x".repeat(16_385)] {
        let text = format!(r#"{{"type":"send_message","room_id":1,"content":"{content}"}}"#);
        assert_code(ErrorCode::ContentInvalid, &[&text]);
    }
}

#[test]
fn an_unknown_type_is_repeated_in_short() {
    let error = parse_error(r#"{"type":"dance","ref":"r7"}"#);
    let reference = Some("r7".to_owned());
    let sentence = "Unknown message type: dance";
    let expected = ErrorFrame::with_sentence(reference, ErrorCode::UnknownType, sentence);
    assert_eq!(error, expected);
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(5_000));
    assert!(parse_error(&long).sentence.len() < 1_000);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::hash_map(".*", inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

const TYPES: &str =
    "auth|subscribe|unsubscribe|send_message|edit_message|delete_message|typing|ping";
const FIELDS: &str = "room_id|after_seq|content|client_msg_id|message_id|token|ref";

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        if let Err(error) = ClientFrame::parse(&text) {
            prop_assert!(error.sentence.chars().count() < 1_000);
        }
    }

    #[test]
    fn no_value_of_a_field_makes_the_parser_panic(
        frame_type in prop_oneof![TYPES, ".*"],
        name in FIELDS,
        value in arbitrary_json(),
    ) {
        let frame = serde_json::json!({"type": frame_type, name: value});
        if let Err(error) = ClientFrame::parse(&frame.to_string()) {
            prop_assert!(error.sentence.chars().count() < 1_000);
        }
    }
}
