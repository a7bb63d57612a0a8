//! What a gateway answered.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::Error;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; bytes that are no UTF-8 are replaced.
    pub text: String,
}

impl Response {
    /// The body as JSON; [`Value::Null`] if it is empty.
    pub fn json(&self) -> Result<Value, Error> {
        if self.text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).map_err(|_| Error::Content(self.text.clone()))
    }

    /// The body as JSON if the response has this status.
    pub fn expect(&self, status: u16) -> Result<Value, Error> {
        if self.status.as_u16() != status {
            return Err(Error::Status { status: self.status, body: self.text.clone() });
        }
        self.json()
    }

    /// True if the body is an error with this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.json().is_ok_and(|body| body["code"] == code)
    }

    /// A header; empty if it is missing or no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
