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
#[path = "tests/client_frame.rs"]
mod tests;
