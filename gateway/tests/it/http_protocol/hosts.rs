//! `Host` (RFC 9112 3.2): exactly one, and valid.

use super::wire::check_all;

fn with_host_lines(lines: &str) -> String {
    format!("GET /v1/healthz HTTP/1.1\r\n{lines}\r\n")
}

#[tokio::test]
async fn a_host_is_a_name_or_an_address_with_an_optional_port() {
    let hosts = [
        "a",
        "chat.example",
        "CHAT.example",
        "chat.example.",
        "chat.example:8000",
        "chat.example:",
        "chat_1.example",
        "xn--bcher-kva.example",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "%41.example",
    ];
    check_all(hosts.map(|host| (with_host_lines(&format!("host: {host}\r\n")), 200))).await;
}

#[tokio::test]
async fn any_other_host_is_a_bad_request() {
    let hosts = [
        "",
        " ",
        ":8000",
        "a b",
        "a, b",
        "a,b",
        "user@a",
        "user:password@a",
        "a:port",
        "a:65536",
        "a:80:80",
        "a/path",
        "a?query",
        "a#fragment",
        "http://a",
        "[::1",
        "::1",
        "[a]",
        "[::1]a",
        "%zz",
        "<a>",
        "b\u{fc}cher.example",
    ];
    check_all(hosts.map(|host| (with_host_lines(&format!("host: {host}\r\n")), 400))).await;
}

#[tokio::test]
async fn there_is_exactly_one_host_except_in_http_1_0() {
    check_all([
        (with_host_lines(""), 400),
        (with_host_lines("hosts: a\r\n"), 400),
        (with_host_lines("host: a\r\nhost: a\r\n"), 400),
        (with_host_lines("host: a\r\nHOST: b\r\n"), 400),
        ("GET /v1/healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("GET /v1/healthz HTTP/1.0\r\nhost: a\r\n\r\n".to_owned(), 200),
        ("GET /v1/healthz HTTP/1.0\r\nhost: a b\r\n\r\n".to_owned(), 400),
        ("GET /v1/healthz HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n".to_owned(), 400),
        // It comes before every other error.
        ("GET /v1/nothing HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /v1/auth/me HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("PUT /v1/healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
    ])
    .await;
}
