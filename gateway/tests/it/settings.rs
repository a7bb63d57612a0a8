//! Settings with a syntax of their own: allowed origins and trusted proxies.

use http::{HeaderMap, HeaderName, HeaderValue};
use parlance_gateway::{AllowedOrigins, TrustedProxies};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[test]
fn origins_are_a_list_of_scheme_host_and_port() {
    let origins: AllowedOrigins = "http://localhost:3000, https://chat.example".parse().unwrap();
    assert!(origins.contains("http://localhost:3000") && origins.contains("https://chat.example"));
    assert!(!origins.contains("http://localhost"));
    assert!("".parse::<AllowedOrigins>().is_ok());
}

#[test]
fn an_origin_that_no_browser_sends_is_refused() {
    for bad in ["*", "null", "localhost:3000", "https://", "file:///page"] {
        assert!(bad.parse::<AllowedOrigins>().is_err(), "{bad}");
    }
}

#[test]
fn an_origin_in_another_form_is_refused_with_the_form_that_browsers_send() {
    for (bad, good) in [
        ("https://chat.example:443", "https://chat.example"),
        ("http://chat.example:80", "http://chat.example"),
        ("https://chat.example:0443", "https://chat.example"),
        ("https://chat.example:", "https://chat.example"),
        ("https://chat.example/", "https://chat.example"),
        ("https://chat.example/path?query#fragment", "https://chat.example"),
        ("https://user@chat.example", "https://chat.example"),
        ("HTTPS://Chat.Example", "https://chat.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("http://127.1", "http://127.0.0.1"),
    ] {
        let error = bad.parse::<AllowedOrigins>().unwrap_err();
        assert!(error.starts_with(&format!("must be {good} and not {bad}")), "{error}");
        assert!(good.parse::<AllowedOrigins>().unwrap().contains(good), "{good}");
    }
    // Pages in an app have a scheme of their own.
    assert!("capacitor://localhost".parse::<AllowedOrigins>().is_ok());
}

#[test]
fn proxies_are_a_list_of_addresses_and_networks() {
    for bad in ["localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1;10.0.0.2"] {
        assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
    }
}

/// The address of the client of a connection from this peer, with these lines of the header.
fn client(peer: &str, proxies: &str, forwarded_for: &[&'static str]) -> String {
    let lines = forwarded_for.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)));
    let headers = HeaderMap::from_iter(lines);
    let proxies: TrustedProxies = proxies.parse().unwrap();
    proxies.client_address(peer.parse().unwrap(), &headers).to_string()
}

#[test]
fn the_header_counts_only_from_a_trusted_proxy() {
    assert_eq!(client("203.0.113.7", "", &["192.0.2.1"]), "203.0.113.7");
    assert_eq!(client("203.0.113.7", "10.0.0.0/8", &["192.0.2.1"]), "203.0.113.7");
    assert_eq!(client("10.1.2.3", "10.0.0.0/8", &["192.0.2.1"]), "192.0.2.1");
    assert_eq!(client("::ffff:10.1.2.3", "10.0.0.0/8", &["192.0.2.1"]), "192.0.2.1");
    assert_eq!(client("::1", "127.0.0.1, ::1", &["192.0.2.1"]), "192.0.2.1");
}

#[test]
fn the_last_address_that_is_no_proxy_is_the_client() {
    let proxies = "10.0.0.0/8";
    assert_eq!(client("10.0.0.1", proxies, &["8.8.8.8, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
    let lines = ["8.8.8.8", "192.0.2.1,10.9.9.9", "10.8.8.8"];
    assert_eq!(client("10.0.0.1", proxies, &lines), "192.0.2.1");
    assert_eq!(client("10.0.0.1", proxies, &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(client("10.0.0.1", proxies, &[]), "10.0.0.1");
}

#[test]
fn ports_and_brackets_are_read_and_an_unreadable_address_ends_the_search() {
    let proxies = "10.0.0.0/8";
    assert_eq!(client("10.0.0.1", proxies, &["192.0.2.1:4711"]), "192.0.2.1");
    assert_eq!(client("10.0.0.1", proxies, &["[2001:db8::1]:4711"]), "2001:db8::1");
    assert_eq!(client("10.0.0.1", proxies, &["\"[2001:db8::1]\""]), "2001:db8::1");
    assert_eq!(client("10.0.0.1", proxies, &["192.0.2.1, unknown, 10.0.0.2"]), "10.0.0.2");
}
