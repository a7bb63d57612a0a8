use http::HeaderValue;

use super::*;

/// Returns whether a page of an origin may connect to a gateway at a host.
fn allows(host: &'static str, origin: &'static str) -> bool {
    let headers = HeaderMap::from_iter([
        (HOST, HeaderValue::from_static(host)),
        (ORIGIN, HeaderValue::from_static(origin)),
    ]);
    is_allowed(&headers, &"http://localhost:3000,https://pages.example".parse().unwrap())
}

#[test]
fn pages_of_the_own_origin_may_connect() {
    for (host, origin) in [
        ("chat.example", "https://chat.example"),
        ("chat.example", "http://chat.example"),
        ("chat.example:443", "https://chat.example"),
        ("chat.example:80", "http://chat.example"),
        ("chat.example", "https://chat.example:443"),
        ("chat.example:", "https://chat.example"),
        ("chat.example:8000", "https://chat.example:8000"),
        ("Chat.Example", "HTTPS://CHAT.example"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
    ] {
        assert!(allows(host, origin), "{host} {origin}");
    }
}

#[test]
fn pages_of_configured_origins_may_connect() {
    for origin in ["http://localhost:3000", "https://pages.example", "https://pages.example:443"] {
        assert!(allows("chat.example", origin), "{origin}");
    }
}

#[test]
fn pages_of_other_origins_may_not_connect() {
    for (host, origin) in [
        ("chat.example", "https://evil.example"),
        ("chat.example", "https://chat.example:8000"),
        ("chat.example:8000", "https://chat.example"),
        ("chat.example:443", "http://chat.example"),
        ("chat.example:80", "https://chat.example"),
        ("chat.example", "https://sub.chat.example"),
        ("chat.example", "https://chat.example.evil.example"),
        ("chat.example", "ftp://chat.example"),
        ("chat.example", "http://localhost:3001"),
        ("chat.example", "http://pages.example"),
    ] {
        assert!(!allows(host, origin), "{host} {origin}");
    }
}

#[test]
fn what_is_not_an_origin_is_refused() {
    for origin in [
        "null",
        "",
        "chat.example",
        "chat.example:443",
        "//chat.example",
        "https://chat.example/",
        "https://chat.example/page",
        "https://chat.example?query",
        "https://user@chat.example",
        "https://chat.example:",
        "https://chat.example:99999",
        "https://chat.example https://chat.example",
        "https://",
        "*",
    ] {
        // An empty port is no serialization, but names the same origin.
        assert_eq!(allows("chat.example", origin), origin.ends_with("example:"), "{origin}");
    }
}

#[test]
fn clients_that_are_no_web_page_may_connect() {
    assert!(is_allowed(&HeaderMap::new(), &AllowedOrigins::default()));
}

#[test]
fn two_origins_are_refused() {
    let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("chat.example"))]);
    headers.append(ORIGIN, HeaderValue::from_static("https://chat.example"));
    headers.append(ORIGIN, HeaderValue::from_static("https://chat.example"));
    assert!(!is_allowed(&headers, &AllowedOrigins::default()));
}
