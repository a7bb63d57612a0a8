//! The parsers of settings' values. Each refuses a wrong value with `must be …`, which is also what
//! [`settings::describe`](crate::settings::describe) lists as allowed.

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// Parses a duration as a number of seconds, above 0 and at most 100 years.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= CENTURY => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("must be a number of seconds above 0, such as 20 or 0.5".to_owned()),
    }
}

/// Returns a parser of whole numbers within a range.
pub fn number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start(), range.end()) {
            (min, &u32::MAX) => format!("must be a whole number from {min}"),
            (min, max) => format!("must be a whole number from {min} to {max}"),
        })
    }
}

/// Parses a share, from 0 for none to 1 for all.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1, such as 0.01".to_owned()),
    }
}

/// Checks the addresses of a service: comma-separated `host:port`.
pub fn addresses(text: &str) -> Result<String, String> {
    let is_address = |address: &str| {
        let parts = address.trim().rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match text.split(',').all(is_address) {
        true => Ok(text.to_owned()),
        false => Err("must be comma-separated addresses, each as host:port".to_owned()),
    }
}

/// Parses an IP address with a port.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address with a port, such as 0.0.0.0:9000".to_owned())
}

pub(crate) fn collector(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    let is_one_address = |address: &str| !address.contains(',') && addresses(address).is_ok();
    match text.is_empty() || address.is_some_and(is_one_address) {
        true => Ok(text.to_owned()),
        false => Err("must be a URL with a port, such as http://collector:4317".to_owned()),
    }
}

pub(crate) fn internal_token(text: &str) -> Result<SecretString, String> {
    let text = secret(text)?;
    let is_secret =
        |token: &str| token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic());
    match text.split(',').all(is_secret) {
        true => Ok(text.into()),
        false => Err("must be at least 16 visible ASCII characters, in each of several".to_owned()),
    }
}

/// Splits a value of `INTERNAL_TOKEN` into its secrets. The first is the one to send.
pub(crate) fn internal_tokens(value: &SecretString) -> impl Iterator<Item = &str> {
    value.expose_secret().split(',')
}

pub(crate) fn secret_url(text: &str) -> Result<SecretString, String> {
    let text = secret(text)?;
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(text.into()),
        _ => Err("must be a URL, such as postgres://host/database or redis://host".to_owned()),
    }
}

/// Returns the text or, after `file:`, the content of that file without white space around it.
fn secret(text: &str) -> Result<String, String> {
    let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
    match fs::read_to_string(path) {
        Ok(content) => Ok(content.trim().to_owned()),
        Err(error) => Err(format!("the file cannot be read: {error}")),
    }
}
