//! Checks that a request upgrades to a WebSocket, and answers it (RFC 6455, section 4.2).
//!
//! Extensions and sub-protocols that the client offers are declined: the answer names none.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use parlance_core::ErrorCode;
use tungstenite::handshake::derive_accept_key;

/// The length of the random key of a client.
const KEY_BYTES: usize = 16;
/// Clients make keys without care for the bits that base64 leaves unused.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Returns the answer that switches to the WebSocket protocol.
pub(super) fn accept(request: &Request) -> Result<Response, ErrorCode> {
    if !is_upgrade(request) {
        return Err(ErrorCode::UpgradeRequired);
    }
    let key = only_value(request.headers(), &SEC_WEBSOCKET_KEY).ok_or(ErrorCode::BadRequest)?;
    if !BASE64.decode(key).is_ok_and(|key| key.len() == KEY_BYTES) {
        return Err(ErrorCode::BadRequest);
    }
    let accept =
        HeaderValue::try_from(derive_accept_key(key)).map_err(|_| ErrorCode::BadRequest)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Returns true if the request asks for the version of the protocol that the gateway speaks.
fn is_upgrade(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && lists(headers, &CONNECTION, "upgrade")
        && lists(headers, &UPGRADE, "websocket")
        && only_value(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| version == b"13")
}

/// Returns true if a header is a list with this element, in any case. A list may span several lines
/// and have empty elements (RFC 9110, section 5.6.1).
fn lists(headers: &HeaderMap, name: &HeaderName, element: &str) -> bool {
    let lines = headers.get_all(name).into_iter();
    let mut elements = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    elements.any(|found| found.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
}

/// Returns the value of a header that must appear once.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.map(HeaderValue::as_bytes)
}

#[cfg(test)]
#[path = "tests/upgrade_request.rs"]
mod tests;
