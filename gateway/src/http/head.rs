//! What RFC 9110 and 9112 demand of the head of a request beyond its syntax, which hyper checks.

use std::net::Ipv6Addr;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use parlance_core::ErrorCode;

/// The longest request target, in bytes.
pub(super) const MAX_TARGET: usize = 16 << 10;

/// The reason why a request is refused whatever its path is, as an extension of it. The middleware
/// answers.
#[derive(Clone, Copy)]
pub(super) struct Refused(pub(super) ErrorCode);

/// Checks a head, and brings the target into its normal form, in which it is routed.
pub(super) fn check<B>(request: &mut Request<B>) -> Result<(), ErrorCode> {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return Err(ErrorCode::UriTooLong);
    }
    check_host(request.headers(), request.version())?;
    check_coding(request.headers())?;
    accept_absolute_form(request)?;
    check_asterisk_form(request)?;
    if let Some(target) = normal_form(request.uri())? {
        *request.uri_mut() = Uri::from(target);
    }
    Ok(())
}

/// Checks that there is exactly one valid `Host` (RFC 9112 3.2). HTTP/1.0 may have none.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), ErrorCode> {
    let mut lines = headers.get_all(HOST).iter();
    let is_valid = match (lines.next(), lines.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_valid_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if is_valid { Ok(()) } else { Err(ErrorCode::BadRequest) }
}

/// Returns true for a host and an optional port (RFC 3986 3.2). A comma is refused besides, because
/// some software takes it for a list. An `http` URI has a host, so it is not empty.
fn is_valid_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (is_valid, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (is_valid_name(name), port)
        }
    };
    is_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_valid_port))
}

/// Returns true for a `reg-name` (RFC 3986 3.2.2) or an IPv4 address.
fn is_valid_name(name: &str) -> bool {
    let is_valid = |byte| is_unreserved(byte) || b"!$&'()*+;=%".contains(&byte);
    !name.is_empty() && name.bytes().all(is_valid) && has_valid_escapes(name)
}

fn is_valid_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// Refuses a transfer coding that nothing here can decode.
fn check_coding(headers: &HeaderMap) -> Result<(), ErrorCode> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        _ => Err(ErrorCode::BadRequest),
    }
}

/// Takes the authority of a target in absolute form for the host, and `Host` for nothing (RFC 9112
/// 3.2.2).
fn accept_absolute_form<B>(request: &mut Request<B>) -> Result<(), ErrorCode> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let is_web = |scheme: &str| ["http", "https"].iter().any(|s| s.eq_ignore_ascii_case(scheme));
    if !request.uri().scheme_str().is_some_and(is_web) {
        // Only CONNECT has a target in authority form. No path matches it.
        let is_connect = request.method() == Method::CONNECT;
        return if is_connect { Ok(()) } else { Err(ErrorCode::BadRequest) };
    }
    let host = authority.as_str();
    if !is_valid_host(host.as_bytes()) {
        return Err(ErrorCode::BadRequest);
    }
    let host = HeaderValue::from_str(host).map_err(|_| ErrorCode::BadRequest)?;
    request.headers_mut().insert(HOST, host);
    let root = || PathAndQuery::from_static("/");
    let target = request.uri().path_and_query().cloned().unwrap_or_else(root);
    *request.uri_mut() = Uri::from(target);
    Ok(())
}

/// Checks that only OPTIONS is about the whole server (RFC 9112 3.2.4).
fn check_asterisk_form<B>(request: &Request<B>) -> Result<(), ErrorCode> {
    let is_misused = request.uri().path() == "*" && request.method() != Method::OPTIONS;
    if is_misused { Err(ErrorCode::BadRequest) } else { Ok(()) }
}

/// Returns the target with decoded unreserved characters and upper case escapes in its path (RFC
/// 3986 6.2.2), or `None` if it has no escapes.
fn normal_form(uri: &Uri) -> Result<Option<PathAndQuery>, ErrorCode> {
    let path = uri.path();
    if !path.contains('%') {
        return Ok(None);
    }
    if !has_valid_escapes(path) {
        return Err(ErrorCode::BadRequest);
    }
    let mut parts = path.split('%');
    let mut target = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = part.split_at(2);
        match u8::from_str_radix(escape, 16) {
            Ok(byte) if is_unreserved(byte) => target.push(byte.into()),
            _ => target.extend(["%", escape.to_ascii_uppercase().as_str()]),
        }
        target.push_str(rest);
    }
    if let Some(query) = uri.query() {
        target.extend(["?", query]);
    }
    PathAndQuery::try_from(target).map(Some).map_err(|_| ErrorCode::BadRequest)
}

/// Returns true if two hexadecimal digits follow every `%`.
fn has_valid_escapes(text: &str) -> bool {
    let is_valid =
        |part: &str| part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.split('%').skip(1).all(is_valid)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
#[path = "tests/head.rs"]
mod tests;
