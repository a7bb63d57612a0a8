//! The frames: text frames with one JSON object each. What clients send is read by hand, so that
//! every mistake gets its own sentence; what the server sends is written by serde.

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::dto::{ClientMessageId, Message, User};
use crate::ws::frames::Frames;

/// The longest `ref`, in characters.
const MAX_REFERENCE: usize = 64;
/// How much of an unknown type is repeated in the answer.
const MAX_SHOWN_TYPE: usize = 100;

/// A frame of a client.
#[derive(Debug)]
pub(crate) struct ClientFrame {
    /// What the direct answer repeats as `ref`.
    pub(crate) reference: Option<String>,
    pub(crate) request: Request,
}

/// What a client asks for.
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

/// Why a frame was refused, or a request in it.
#[derive(Debug, PartialEq)]
pub(crate) struct ErrorFrame {
    pub(crate) reference: Option<String>,
    pub(crate) code: ErrorCode,
    /// A sentence under 1,000 characters.
    pub(crate) sentence: String,
}

impl ErrorFrame {
    pub(crate) fn of_code(reference: Option<String>, code: ErrorCode) -> Self {
        Self { reference, code, sentence: code.sentence().to_owned() }
    }
}

impl ClientFrame {
    /// Reads a text frame.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorFrame> {
        let value: Value = serde_json::from_str(text)
            .map_err(|_| ErrorFrame::of_code(None, ErrorCode::InvalidJson))?;
        let Value::Object(members) = value else {
            let sentence = "A frame must be a JSON object".to_owned();
            return Err(ErrorFrame { reference: None, code: ErrorCode::InvalidJson, sentence });
        };
        let reference = reference_of(&members)?;
        let mut reader = Reader { members };
        match reader.request() {
            Ok(request) => Ok(Self { reference, request }),
            Err((code, sentence)) => Err(ErrorFrame { reference, code, sentence }),
        }
    }
}

type ParseError = (ErrorCode, String);

fn misfit(sentence: impl Into<String>) -> ParseError {
    (ErrorCode::InvalidFrame, sentence.into())
}

fn reference_of(members: &Map<String, Value>) -> Result<Option<String>, ErrorFrame> {
    match members.get("ref") {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= MAX_REFERENCE => {
            Ok(Some(text.clone()))
        }
        Some(_) => {
            let sentence = format!("ref must be a string of at most {MAX_REFERENCE} characters");
            Err(ErrorFrame { reference: None, code: ErrorCode::InvalidFrame, sentence })
        }
    }
}

struct Reader {
    members: Map<String, Value>,
}

impl Reader {
    fn request(&mut self) -> Result<Request, ParseError> {
        let frame_type = self.string("type")?;
        match frame_type.as_str() {
            "auth" => Ok(Request::Auth { token: self.token()? }),
            "subscribe" => {
                Ok(Request::Subscribe { room_id: self.room_id()?, after_seq: self.after_seq()? })
            }
            "unsubscribe" => Ok(Request::Unsubscribe { room_id: self.room_id()? }),
            "send_message" => Ok(Request::Send {
                room_id: self.room_id()?,
                client_msg_id: self.client_msg_id()?,
                content: self.content()?,
            }),
            "edit_message" => {
                Ok(Request::Edit { message_id: self.message_id()?, content: self.content()? })
            }
            "delete_message" => Ok(Request::Delete { message_id: self.message_id()? }),
            "typing" => Ok(Request::Typing { room_id: self.room_id()? }),
            "ping" => Ok(Request::Ping),
            unknown => {
                let shown: String = unknown.chars().take(MAX_SHOWN_TYPE).collect();
                Err((ErrorCode::UnknownType, format!("Unknown message type: {shown}")))
            }
        }
    }

    fn token(&mut self) -> Result<String, ParseError> {
        match self.members.remove("token") {
            Some(Value::String(token)) if !token.is_empty() => Ok(token),
            _ => Err((ErrorCode::Unauthenticated, "Missing token".to_owned())),
        }
    }

    fn room_id(&mut self) -> Result<RoomId, ParseError> {
        self.positive("room_id").map(RoomId::new)
    }

    fn message_id(&mut self) -> Result<MessageId, ParseError> {
        self.positive("message_id").map(MessageId::new)
    }

    fn positive(&mut self, name: &str) -> Result<i64, ParseError> {
        let number = self.members.get(name).ok_or_else(|| misfit(format!("Missing {name}")))?;
        number
            .as_i64()
            .filter(|&id| id > 0)
            .ok_or_else(|| misfit(format!("{name} must be a positive integer")))
    }

    fn after_seq(&mut self) -> Result<Option<i64>, ParseError> {
        let Some(value) = self.members.get("after_seq") else { return Ok(None) };
        // Beyond 64 bits is beyond every head, which is answered, not refused.
        let seq =
            value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX)).filter(|&seq| seq >= 0);
        seq.map(Some).ok_or_else(|| misfit("after_seq must be an integer of at least 0"))
    }

    fn content(&mut self) -> Result<MessageContent, ParseError> {
        let text = self.string("content")?;
        MessageContent::parse(text)
            .map_err(|violation| (ErrorCode::ContentInvalid, violation.to_string()))
    }

    fn client_msg_id(&mut self) -> Result<Option<ClientMessageId>, ParseError> {
        if !self.members.contains_key("client_msg_id") {
            return Ok(None);
        }
        let text = self.string("client_msg_id")?;
        ClientMessageId::parse(text)
            .map(Some)
            .map_err(|violation| misfit(format!("client_msg_id: {violation}")))
    }

    fn string(&mut self, name: &str) -> Result<String, ParseError> {
        match self.members.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(misfit(format!("{name} must be a string"))),
            None => Err(misfit(format!("Missing {name}"))),
        }
    }
}

/// A frame of the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerFrame<'a> {
    Success {
        message: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        #[serde(flatten)]
        addition: Addition,
    },
    Error {
        error: &'a str,
        code: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// In how many seconds to try again.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    Ack {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_msg_id: Option<&'a str>,
        room_id: i64,
        message_id: i64,
        seq: i64,
    },
    Message {
        message: Message<'a>,
    },
    MessageEdited {
        message: Message<'a>,
        seq: i64,
    },
    MessageDeleted {
        room_id: i64,
        message_id: i64,
        seq: i64,
    },
    Typing {
        room_id: i64,
        user: &'a User,
    },
    Unsubscribed {
        room_id: i64,
        reason: &'a str,
    },
    Pong {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
}

/// What a success adds for its request.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Addition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) head_seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resync: bool,
}

impl ServerFrame<'_> {
    /// The frame as JSON text.
    pub(crate) fn encode(&self) -> Frames {
        match serde_json::to_string(self) {
            Ok(text) => Frames::of_text(&text),
            Err(error) => {
                tracing::error!(error = %error, "a frame could not be encoded");
                Frames::of_text(
                    r#"{"type":"error","error":"Internal server error","code":"internal_error"}"#,
                )
            }
        }
    }
}

/// A success with its sentence.
pub(crate) fn success(reference: Option<&str>, message: &str, addition: Addition) -> Frames {
    ServerFrame::Success { message, reference, addition }.encode()
}

/// The answer to a refused frame or request.
pub(crate) fn refusal(refusal: &ErrorFrame) -> Frames {
    let retry_after = (refusal.code == ErrorCode::RateLimited).then_some(1);
    let code = match refusal.code {
        // What REST tells apart is one code here.
        ErrorCode::InvalidToken | ErrorCode::InactiveUser => ErrorCode::Unauthenticated.name(),
        code => code.public_name(),
    };
    let reference = refusal.reference.as_deref();
    ServerFrame::Error { error: &refusal.sentence, code, reference, retry_after }.encode()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> (ErrorCode, String) {
        let refusal = ClientFrame::parse(text).expect_err(text);
        (refusal.code, refusal.sentence)
    }

    #[test]
    fn every_request_is_read() {
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
    fn what_is_no_object_is_invalid_json() {
        for text in [
            "",
            "{",
            "[]",
            "1",
            "null",
            "\"x\"",
            "{\"type\":\"ping\"} x",
            r#"{"type":"\ud800"}"#,
            "NaN",
        ] {
            assert_eq!(refused(text).0, ErrorCode::InvalidJson, "{text}");
        }
    }

    #[test]
    fn missing_and_wrong_members_are_invalid_frames() {
        for text in [
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
            r#"{"type":"ping","ref":5}"#,
        ] {
            assert_eq!(refused(text).0, ErrorCode::InvalidFrame, "{text}");
        }
        let long = "x".repeat(65);
        assert_eq!(
            refused(&format!(r#"{{"type":"ping","ref":"{long}"}}"#)).0,
            ErrorCode::InvalidFrame
        );
        let frame = format!(
            r#"{{"type":"send_message","room_id":1,"content":"x","client_msg_id":"{long}"}}"#
        );
        assert_eq!(refused(&frame).0, ErrorCode::InvalidFrame);
    }

    #[test]
    fn contents_that_break_the_rules_have_their_own_code() {
        for content in ["", " \\n", "a\\u0000b", &"x".repeat(16_385)] {
            let text = format!(r#"{{"type":"send_message","room_id":1,"content":"{content}"}}"#);
            assert_eq!(refused(&text).0, ErrorCode::ContentInvalid);
        }
    }

    #[test]
    fn unknown_types_are_named_in_short() {
        let dance = (ErrorCode::UnknownType, "Unknown message type: dance".to_owned());
        assert_eq!(refused(r#"{"type":"dance"}"#), dance);
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(5_000));
        assert!(refused(&long).1.len() < 1_000);
    }

    #[test]
    fn refusals_repeat_the_reference() {
        let refusal = ClientFrame::parse(r#"{"type":"subscribe","ref":"r7"}"#).unwrap_err();
        assert_eq!(refusal.reference.as_deref(), Some("r7"));
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
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            if let Err(refusal) = ClientFrame::parse(&text) {
                prop_assert!(refusal.sentence.chars().count() < 1_000);
            }
        }

        #[test]
        fn no_member_of_any_shape_makes_the_parser_panic(
            frame_type in prop_oneof!["auth|subscribe|unsubscribe|send_message|edit_message|delete_message|typing|ping", ".*"],
            name in prop_oneof![
                Just("room_id"), Just("after_seq"), Just("content"), Just("client_msg_id"), Just("message_id"), Just("token"), Just("ref"),
            ],
            member in arbitrary_json(),
        ) {
            let frame = serde_json::json!({"type": frame_type, name: member});
            if let Err(refusal) = ClientFrame::parse(&frame.to_string()) {
                prop_assert!(refusal.sentence.chars().count() < 1_000);
            }
        }
    }
}
