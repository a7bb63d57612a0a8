//! Reading path, query and body of a request, and collecting everything that is wrong with them for
//! one answer.

use std::fmt::Display;
use std::ops::RangeInclusive;

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId, Violation};
use serde_json::{Map, Value};

use crate::error::{ApiError, FieldError, SpanBuilder};

/// The largest id.
const IDS: RangeInclusive<i64> = 1..=i64::MAX;

/// A field is wrong, and the [`Input`] it was read from has written down why.
#[derive(Debug)]
pub(crate) struct Invalid;

/// What a client sent. Each reading method writes down what is wrong; [`refusal`](Self::refusal)
/// tells it all.
#[derive(Debug, Default)]
pub(crate) struct Input {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The members of the body; none when it is not read or no object.
    body: Option<Map<String, Value>>,
    errors: Vec<FieldError>,
    /// Whether one of the errors is that the content of a message breaks its rules.
    is_content_invalid: bool,
}

impl Input {
    /// Input from the parameters of the path and the query, both decoded.
    pub(crate) fn new(path: Vec<(String, String)>, query: Vec<(String, String)>) -> Self {
        Self { path, query, ..Self::default() }
    }

    /// Reads the body as a JSON object.
    pub(crate) fn read_body(&mut self, body: &[u8]) {
        let (kind, sentence) = if body.is_empty() {
            ("missing", "A body is required")
        } else {
            match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => {
                    self.body = Some(members);
                    return;
                }
                Ok(_) => ("value_error", "The body should be a JSON object"),
                Err(_) => ("json_invalid", "The body is not valid JSON"),
            }
        };
        self.errors.push(FieldError::new([SpanBuilder::Name("body")], kind, sentence));
    }

    /// The answer, once something was [`Invalid`].
    pub(crate) fn refusal(self) -> ApiError {
        let is_only_content = self.is_content_invalid && self.errors.len() == 1;
        let code = if is_only_content { ErrorCode::ContentInvalid } else { ErrorCode::Validation };
        ApiError::of_fields(code, self.errors)
    }

    /// The room that the path names.
    pub(crate) fn room_id(&mut self) -> Result<RoomId, Invalid> {
        self.path_id("room_id").map(RoomId::new)
    }

    /// The message that the path names.
    pub(crate) fn message_id(&mut self) -> Result<MessageId, Invalid> {
        self.path_id("message_id").map(MessageId::new)
    }

    /// An id in the path.
    pub(crate) fn path_id(&mut self, name: &'static str) -> Result<i64, Invalid> {
        let text = value_of(&self.path, name).unwrap_or_default();
        integer(&text, IDS).map_err(|error| self.reject("path", name, error))
    }

    /// A text in the path; empty when it cannot be decoded, which is nobody's name.
    pub(crate) fn path_text(&self, name: &'static str) -> String {
        value_of(&self.path, name).unwrap_or_default()
    }

    /// An id in the query.
    pub(crate) fn query_id(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.query_integer(name, IDS)
    }

    /// An integer in the query. When a parameter is repeated, the last one counts.
    pub(crate) fn query_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Invalid> {
        let Some(text) = value_of(&self.query, name) else { return Ok(None) };
        integer(&text, range).map(Some).map_err(|error| self.reject("query", name, error))
    }

    /// A parameter of the query breaks a rule that concerns others, too.
    pub(crate) fn reject_query(&mut self, name: &'static str, sentence: &'static str) -> Invalid {
        self.reject("query", name, ("value_error", sentence.to_owned()))
    }

    /// A text in the body.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Invalid> {
        match self.take(name)? {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.reject("body", name, string_type())),
            None => Err(self.reject("body", name, ("missing", "Field required".to_owned()))),
        }
    }

    /// A text in the body that follows rules.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: fn(String) -> Result<T, Violation>,
    ) -> Result<T, Invalid> {
        let text = self.text(name)?;
        parse(text).map_err(|violation| self.reject_violation(name, violation))
    }

    /// The same, where the text may be absent (which null is not).
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: fn(String) -> Result<T, Violation>,
    ) -> Result<Option<T>, Invalid> {
        if self.members()?.contains_key(name) {
            self.parsed(name, parse).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The content of a message in the body.
    pub(crate) fn content(&mut self) -> Result<MessageContent, Invalid> {
        let text = self.text("content")?;
        MessageContent::parse(text).map_err(|violation| {
            self.is_content_invalid = true;
            self.reject_violation("content", violation)
        })
    }

    /// A list of texts in the body, of at least `min` elements.
    pub(crate) fn texts(&mut self, name: &'static str, min: usize) -> Result<Vec<String>, Invalid> {
        match self.take(name)? {
            Some(Value::Array(elements)) if elements.len() < min => {
                let sentence = format!("List should have at least {min} element");
                Err(self.reject("body", name, ("too_short", sentence)))
            }
            Some(Value::Array(elements)) => self.elements(name, elements),
            Some(_) => {
                Err(self.reject("body", name, ("list_type", "A list is required here".to_owned())))
            }
            None if min == 0 => Ok(Vec::new()),
            None => Err(self.reject("body", name, ("missing", "Field required".to_owned()))),
        }
    }

    fn elements(
        &mut self,
        name: &'static str,
        elements: Vec<Value>,
    ) -> Result<Vec<String>, Invalid> {
        let count = elements.len();
        let mut texts = Vec::with_capacity(count);
        for (index, element) in elements.into_iter().enumerate() {
            match element {
                Value::String(text) => texts.push(text),
                _ => {
                    let loc = [
                        SpanBuilder::Name("body"),
                        SpanBuilder::Name(name),
                        SpanBuilder::Index(index),
                    ];
                    let (kind, sentence) = string_type();
                    self.errors.push(FieldError::new(loc, kind, sentence));
                }
            }
        }
        if texts.len() == count { Ok(texts) } else { Err(Invalid) }
    }

    fn take(&mut self, name: &str) -> Result<Option<Value>, Invalid> {
        self.members().map(|members| members.remove(name))
    }

    /// The members of the body. That there is no body was written down when it was read.
    fn members(&mut self) -> Result<&mut Map<String, Value>, Invalid> {
        self.body.as_mut().ok_or(Invalid)
    }

    fn reject_violation(&mut self, name: &'static str, violation: Violation) -> Invalid {
        self.errors.push(FieldError::of_violation(
            [SpanBuilder::Name("body"), SpanBuilder::Name(name)],
            violation,
        ));
        Invalid
    }

    fn reject(
        &mut self,
        part: &'static str,
        name: &'static str,
        (kind, sentence): (&'static str, String),
    ) -> Invalid {
        self.errors.push(FieldError::new(
            [SpanBuilder::Name(part), SpanBuilder::Name(name)],
            kind,
            sentence,
        ));
        Invalid
    }
}

fn string_type() -> (&'static str, String) {
    ("string_type", "A string is required here".to_owned())
}

/// The last value with this name.
fn value_of(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// Reads decimal digits with an optional sign. A number beyond 64 bits is out of range, not
/// unparsable.
fn integer(text: &str, range: RangeInclusive<i64>) -> Result<i64, (&'static str, String)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("int_parsing", "An integer is required here".to_owned()));
    }
    let too_small =
        |min: &dyn Display| ("greater_than_equal", format!("The number should be at least {min}"));
    let too_large =
        |max: &dyn Display| ("less_than_equal", format!("The number should be at most {max}"));
    match text.parse::<i64>() {
        Ok(number) if number < *range.start() => Err(too_small(range.start())),
        Ok(number) if number > *range.end() => Err(too_large(range.end())),
        Ok(number) => Ok(number),
        Err(_) if text.starts_with('-') => Err(too_small(range.start())),
        Err(_) => Err(too_large(range.end())),
    }
}

#[cfg(test)]
mod tests;
