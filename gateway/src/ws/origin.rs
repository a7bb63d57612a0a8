//! Compares origins (RFC 6454).

use std::fmt;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};

use crate::config::AllowedOrigins;

/// A scheme, a host and a port. Displays as browsers serialize it.
#[derive(Debug, PartialEq)]
struct Origin {
    scheme: String,
    host: String,
    /// None for the default port of the scheme.
    port: Option<u16>,
}

/// Returns true for pages of the gateway's own origin or of a configured one, and for clients that
/// are no web page.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &AllowedOrigins) -> bool {
    let mut values = headers.get_all(ORIGIN).into_iter();
    let (value, other) = (values.next(), values.next());
    let Some(value) = value else { return true };
    let origin = value.to_str().ok().and_then(Origin::parse).filter(|_| other.is_none());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.is_some_and(|origin| {
        allowed.contains(&origin.to_string()) || host.is_some_and(|host| origin.is_served_at(host))
    })
}

impl Origin {
    /// Parses the serialization of an origin: nothing but a scheme, a host and maybe a port.
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        if text.len() != scheme.len() + "://".len() + authority.as_str().len() {
            return None;
        }
        let (host, port) = host_and_port(authority)?;
        let scheme = scheme.to_ascii_lowercase();
        let port = port.filter(|&port| default_port(&scheme) != Some(port));
        Some(Self { scheme, host, port })
    }

    /// Returns true if a `Host` belongs to this origin. Its scheme is not known: a proxy may have
    /// ended TLS. It is taken to be the one of the origin.
    fn is_served_at(&self, host: &str) -> bool {
        let Some(default_port) = default_port(&self.scheme) else { return false };
        let authority: Option<Authority> = host.parse().ok();
        let Some((host, port)) = authority.as_ref().and_then(host_and_port) else { return false };
        host == self.host && port.filter(|&port| port != default_port) == self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// Splits an authority without a user. The host is in lower case. An empty port is none.
fn host_and_port(authority: &Authority) -> Option<(String, Option<u16>)> {
    let (host, text) = (authority.host(), authority.as_str());
    let port = match text.strip_prefix(host)? {
        "" | ":" => None,
        port => Some(port.strip_prefix(':')?.parse().ok()?),
    };
    Some((host.to_ascii_lowercase(), port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests/origin.rs"]
mod tests;
