//! Frames of clients. They are parsed by hand, so that each mistake has its own sentence.

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId};
use serde_json::{Map, Value};

use crate::api::dto::ClientMessageId;
use crate::ws::protocol::server_frame::ErrorFrame;

/// The longest `ref`, in characters.
const MAX_REFERENCE: usize = 64;
/// The characters of an unknown type that the answer repeats.
const MAX_SHOWN_TYPE: usize = 100;

/// A frame of a client.
#[derive(Debug)]
pub(crate) struct ClientFrame {
    /// The `ref`, which the answer repeats.
    pub(crate) reference: Option<String>,
    pub(crate) request: Request,
}

#[derive(Debug)]
pub(crate) enum Request {
    Auth { token: String },
    Subscribe { room_id: RoomId, after_seq: Option<i64> },
    Unsubscribe { room_id: RoomId },
    Send { room_id: RoomId, content: MessageContent, client_msg_id: Option<ClientMessageId> },
    Edit { message_id: MessageId, content: MessageContent },
    Delete { message_id: MessageId },
    Typing { room_id: RoomId },
    Ping,
}

impl ClientFrame {
    /// Parses a text frame.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorFrame> {
        let value = serde_json::from_str(text)
            .map_err(|_| ErrorFrame::new(None, ErrorCode::InvalidJson))?;
        let Value::Object(object) = value else {
            let sentence = "A frame must be a JSON object";
            return Err(ErrorFrame::with_sentence(None, ErrorCode::InvalidJson, sentence));
        };
        let mut parser = Parser { object };
        let reference = parser.reference().map_err(|error| error.into_frame(None))?;
        match parser.request() {
            Ok(request) => Ok(Self { reference, request }),
            Err(error) => Err(error.into_frame(reference)),
        }
    }
}

/// The code and the sentence of a mistake.
struct ParseError(ErrorCode, String);

impl ParseError {
    fn invalid(sentence: impl Into<String>) -> Self {
        Self(ErrorCode::InvalidFrame, sentence.into())
    }

    fn into_frame(self, reference: Option<String>) -> ErrorFrame {
        ErrorFrame { reference, code: self.0, sentence: self.1 }
    }
}

struct Parser {
    object: Map<String, Value>,
}

impl Parser {
    fn request(&mut self) -> Result<Request, ParseError> {
        let frame_type = self.string("type")?;
        Ok(match frame_type.as_str() {
            "auth" => Request::Auth { token: self.token()? },
            "subscribe" => {
                Request::Subscribe { room_id: self.room_id()?, after_seq: self.after_seq()? }
            }
            "unsubscribe" => Request::Unsubscribe { room_id: self.room_id()? },
            "send_message" => Request::Send {
                room_id: self.room_id()?,
                client_msg_id: self.client_msg_id()?,
                content: self.content()?,
            },
            "edit_message" => {
                Request::Edit { message_id: self.message_id()?, content: self.content()? }
            }
            "delete_message" => Request::Delete { message_id: self.message_id()? },
            "typing" => Request::Typing { room_id: self.room_id()? },
            "ping" => Request::Ping,
            unknown => {
                let shown: String = unknown.chars().take(MAX_SHOWN_TYPE).collect();
                let sentence = format!("Unknown message type: {shown}");
                return Err(ParseError(ErrorCode::UnknownType, sentence));
            }
        })
    }

    fn reference(&self) -> Result<Option<String>, ParseError> {
        match self.object.get("ref") {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= MAX_REFERENCE => {
                Ok(Some(text.clone()))
            }
            Some(_) => Err(ParseError::invalid(format!(
                "ref must be a string of at most {MAX_REFERENCE} characters"
            ))),
        }
    }

    fn token(&mut self) -> Result<String, ParseError> {
        match self.object.remove("token") {
            Some(Value::String(token)) if !token.is_empty() => Ok(token),
            _ => Err(ParseError(ErrorCode::Unauthenticated, "Missing token".to_owned())),
        }
    }

    fn room_id(&self) -> Result<RoomId, ParseError> {
        self.positive("room_id").map(RoomId::new)
    }

    fn message_id(&self) -> Result<MessageId, ParseError> {
        self.positive("message_id").map(MessageId::new)
    }

    fn positive(&self, name: &str) -> Result<i64, ParseError> {
        let value =
            self.object.get(name).ok_or_else(|| ParseError::invalid(format!("Missing {name}")))?;
        let number = value.as_i64().filter(|&number| number > 0);
        number.ok_or_else(|| ParseError::invalid(format!("{name} must be a positive integer")))
    }

    fn after_seq(&self) -> Result<Option<i64>, ParseError> {
        let Some(value) = self.object.get("after_seq") else { return Ok(None) };
        // A number beyond 64 bits is above every `last_seq`: the answer is a resync.
        let seq = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
        let seq = seq.filter(|&seq| seq >= 0);
        let sentence = "after_seq must be an integer of at least 0";
        seq.map(Some).ok_or_else(|| ParseError::invalid(sentence))
    }

    fn content(&mut self) -> Result<MessageContent, ParseError> {
        MessageContent::parse(self.string("content")?)
            .map_err(|violation| ParseError(ErrorCode::ContentInvalid, violation.to_string()))
    }

    fn client_msg_id(&mut self) -> Result<Option<ClientMessageId>, ParseError> {
        if !self.object.contains_key("client_msg_id") {
            return Ok(None);
        }
        ClientMessageId::parse(self.string("client_msg_id")?)
            .map(Some)
            .map_err(|violation| ParseError::invalid(format!("client_msg_id: {violation}")))
    }

    fn string(&mut self, name: &str) -> Result<String, ParseError> {
        match self.object.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(ParseError::invalid(format!("{name} must be a string"))),
            None => Err(ParseError::invalid(format!("Missing {name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let long_client_msg_id = format!(
            r#"{{"type":"send_message","room_id":1,"content":"x","client_msg_id":"{long}"}}"#
        );
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
}
