//! Reads the path, the query and the body of a request, and collects all errors for one answer.

use std::ops::RangeInclusive;

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId, SessionId, Violation};
use serde_json::{Map, Value};

use crate::error::{ApiError, FieldError, LocSegment};

/// The range of ids.
const IDS: RangeInclusive<i64> = 1..=i64::MAX;

/// A field is wrong. The [`Input`] that it was read from holds the error.
#[derive(Debug)]
pub(crate) struct Invalid;

/// A value that is read from a request: a parameter, a body, or both.
pub(crate) trait FromInput: Sized {
    /// True if the value is read from the body.
    const HAS_BODY: bool = false;

    /// Reads the value. On failure the input holds all errors.
    fn from_input(input: &mut Input) -> Result<Self, Invalid>;
}

impl FromInput for RoomId {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        input.path_id("room_id").map(Self::new)
    }
}

impl FromInput for MessageId {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        input.path_id("message_id").map(Self::new)
    }
}

impl FromInput for SessionId {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        input.path_id("id").map(Self::new)
    }
}

/// The username in the path.
pub(crate) struct PathUsername(pub(crate) String);

impl FromInput for PathUsername {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        Ok(Self(input.path_text("username")))
    }
}

impl<A: FromInput, B: FromInput> FromInput for (A, B) {
    const HAS_BODY: bool = A::HAS_BODY || B::HAS_BODY;

    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        // Both are read before the first error is returned.
        let (first, second) = (A::from_input(input), B::from_input(input));
        Ok((first?, second?))
    }
}

/// What a client sent. Each reading method keeps its error for [`into_error`](Self::into_error).
#[derive(Default)]
pub(crate) struct Input {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The members of the body. `None` if no body was read or if it is no object.
    body: Option<Map<String, Value>>,
    errors: Vec<FieldError>,
    /// True if one of the errors is that the content of a message breaks its rules.
    is_content_invalid: bool,
}

impl Input {
    /// Takes the decoded parameters of the path and of the query.
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
        self.errors.push(FieldError::new([LocSegment::Name("body")], kind, sentence));
    }

    /// Returns the answer with all errors.
    pub(crate) fn into_error(self) -> ApiError {
        let is_only_content = self.is_content_invalid && self.errors.len() == 1;
        let code = if is_only_content { ErrorCode::ContentInvalid } else { ErrorCode::Validation };
        ApiError::with_fields(code, self.errors)
    }

    /// Reads an id from the path.
    pub(crate) fn path_id(&mut self, name: &'static str) -> Result<i64, Invalid> {
        let text = last_value(&self.path, name).unwrap_or_default();
        integer(&text, IDS).map_err(|error| self.reject("path", name, error))
    }

    /// Reads a text from the path. It is empty if the client's bytes are no UTF-8.
    pub(crate) fn path_text(&self, name: &'static str) -> String {
        last_value(&self.path, name).unwrap_or_default()
    }

    /// Reads an id from the query.
    pub(crate) fn query_id(&mut self, name: &'static str) -> Result<Option<i64>, Invalid> {
        self.query_integer(name, IDS)
    }

    /// Reads an integer from the query. The last of repeated parameters counts.
    pub(crate) fn query_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Invalid> {
        let Some(text) = last_value(&self.query, name) else { return Ok(None) };
        integer(&text, range).map(Some).map_err(|error| self.reject("query", name, error))
    }

    /// Rejects a parameter of the query that does not go with another one.
    pub(crate) fn reject_query(&mut self, name: &'static str, sentence: &'static str) -> Invalid {
        self.reject("query", name, ("value_error", sentence.to_owned()))
    }

    /// Reads a text from the body.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Invalid> {
        match self.take(name)? {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.reject("body", name, string_type())),
            None => Err(self.reject("body", name, missing())),
        }
    }

    /// Reads a text with rules from the body.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: fn(String) -> Result<T, Violation>,
    ) -> Result<T, Invalid> {
        let text = self.text(name)?;
        parse(text).map_err(|violation| self.reject_violation(name, violation))
    }

    /// Reads a text with rules from the body. The text may be absent, but not null.
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

    /// Reads the change of a text with rules from the body. Null clears the text, an absent member
    /// keeps it.
    pub(crate) fn text_change<T>(
        &mut self,
        name: &'static str,
        parse: fn(String) -> Result<T, Violation>,
    ) -> Result<Option<Option<T>>, Invalid> {
        if self.members()?.get(name).is_some_and(Value::is_null) {
            return Ok(Some(None));
        }
        self.optional(name, parse).map(|text| text.map(Some))
    }

    /// Reads a boolean from the body. It may be absent, but not null.
    pub(crate) fn optional_boolean(&mut self, name: &'static str) -> Result<Option<bool>, Invalid> {
        match self.take(name)? {
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => {
                let sentence = "A boolean is required here".to_owned();
                Err(self.reject("body", name, ("bool_type", sentence)))
            }
            None => Ok(None),
        }
    }

    /// Reads the content of a message from the body.
    pub(crate) fn content(&mut self, name: &'static str) -> Result<MessageContent, Invalid> {
        let text = self.text(name)?;
        MessageContent::parse(text).map_err(|violation| {
            self.is_content_invalid = true;
            self.reject_violation(name, violation)
        })
    }

    /// Reads a list of at least `min` texts from the body.
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
            None => Err(self.reject("body", name, missing())),
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
            if let Value::String(text) = element {
                texts.push(text);
                continue;
            }
            let [body, list] = ["body", name].map(LocSegment::Name);
            let (kind, sentence) = string_type();
            let loc = [body, list, LocSegment::Index(index)];
            self.errors.push(FieldError::new(loc, kind, sentence));
        }
        if texts.len() == count { Ok(texts) } else { Err(Invalid) }
    }

    fn take(&mut self, name: &str) -> Result<Option<Value>, Invalid> {
        self.members().map(|members| members.remove(name))
    }

    /// Returns the members of the body. [`read_body`](Self::read_body) has kept the error if there
    /// are none.
    fn members(&mut self) -> Result<&mut Map<String, Value>, Invalid> {
        self.body.as_mut().ok_or(Invalid)
    }

    fn reject_violation(&mut self, name: &'static str, violation: Violation) -> Invalid {
        let kind = match violation {
            Violation::TooShort { .. } => "string_too_short",
            Violation::TooLong { .. } => "string_too_long",
            Violation::Other(_) => "value_error",
        };
        self.reject("body", name, (kind, violation.to_string()))
    }

    fn reject(
        &mut self,
        part: &'static str,
        name: &'static str,
        (kind, sentence): (&'static str, String),
    ) -> Invalid {
        let loc = [part, name].map(LocSegment::Name);
        self.errors.push(FieldError::new(loc, kind, sentence));
        Invalid
    }
}

fn missing() -> (&'static str, String) {
    ("missing", "Field required".to_owned())
}

fn string_type() -> (&'static str, String) {
    ("string_type", "A string is required here".to_owned())
}

fn last_value(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// Reads decimal digits with an optional sign. A number beyond 64 bits is out of range, not
/// unparsable.
fn integer(text: &str, range: RangeInclusive<i64>) -> Result<i64, (&'static str, String)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("int_parsing", "An integer is required here".to_owned()));
    }
    let is_negative = text.starts_with('-');
    let number = text.parse().unwrap_or(if is_negative { i128::MIN } else { i128::MAX });
    if number < i128::from(*range.start()) {
        let sentence = format!("The number should be at least {}", range.start());
        return Err(("greater_than_equal", sentence));
    }
    i64::try_from(number)
        .ok()
        .filter(|number| number <= range.end())
        .ok_or_else(|| ("less_than_equal", format!("The number should be at most {}", range.end())))
}

#[cfg(test)]
#[path = "tests/input.rs"]
mod tests;
