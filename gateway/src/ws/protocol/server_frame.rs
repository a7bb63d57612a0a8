//! Frames of the server.

use parlance_core::{ErrorCode, UserId};
use serde::Serialize;

use crate::api::dto::{Message, User};
use crate::ws::frames::Frames;

/// A frame of the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerFrame<'a> {
    Success {
        message: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        #[serde(flatten)]
        fields: SuccessFields,
    },
    Error {
        error: &'a str,
        code: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// The seconds after which the client may try again.
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

/// The fields of a success frame that depend on the request.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SuccessFields {
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
    pub(crate) fn encode(&self) -> Frames {
        match serde_json::to_string(self) {
            Ok(text) => Frames::from_text(&text),
            Err(error) => {
                tracing::error!(error = %error, "frame could not be encoded; sending an error");
                Frames::from_text(
                    r#"{"type":"error","error":"Internal server error","code":"internal_error"}"#,
                )
            }
        }
    }
}

pub(crate) fn success(reference: Option<&str>, message: &str, fields: SuccessFields) -> Frames {
    ServerFrame::Success { message, reference, fields }.encode()
}

/// Encodes the answer to a token that is accepted.
pub(crate) fn authenticated(reference: Option<&str>, user_id: UserId) -> Frames {
    let fields = SuccessFields { user_id: Some(user_id.get()), ..SuccessFields::default() };
    success(reference, "Authenticated successfully", fields)
}

/// An error frame: why a frame, or the request in it, is refused.
#[derive(Debug, PartialEq)]
pub(crate) struct ErrorFrame {
    pub(crate) reference: Option<String>,
    pub(crate) code: ErrorCode,
    /// A sentence of less than 1,000 characters.
    pub(crate) sentence: String,
}

impl ErrorFrame {
    /// Makes an error with the sentence of its code.
    pub(crate) fn new(reference: Option<String>, code: ErrorCode) -> Self {
        Self::with_sentence(reference, code, code.sentence())
    }

    pub(crate) fn with_sentence(
        reference: Option<String>,
        code: ErrorCode,
        sentence: impl Into<String>,
    ) -> Self {
        Self { reference, code, sentence: sentence.into() }
    }

    pub(crate) fn encode(&self) -> Frames {
        let retry_after = (self.code == ErrorCode::RateLimited).then_some(1);
        let code = match self.code {
            // The protocol has one code for what REST distinguishes.
            ErrorCode::InvalidToken => ErrorCode::Unauthenticated.name(),
            ErrorCode::InactiveUser => ErrorCode::SessionRevoked.name(),
            code => code.public_name(),
        };
        let reference = self.reference.as_deref();
        ServerFrame::Error { error: &self.sentence, code, reference, retry_after }.encode()
    }
}
