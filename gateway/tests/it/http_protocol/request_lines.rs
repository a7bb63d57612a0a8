//! The request line (RFC 9112 3), and bytes that are no request.

use super::wire::check_all;

const REST: &str = "\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_request_line_is_method_target_and_version() {
    let line = "GET /v1/healthz HTTP/1.1";
    check_all([
        (format!("{line}{REST}"), 200),
        // Empty lines before it are ignored (RFC 9112 2.2), and a line may end with LF alone.
        (format!("\r\n{line}{REST}"), 200),
        (format!("\n\r\n\r\n{line}{REST}"), 200),
        (format!("{line}\nhost: a\n\n"), 200),
        (format!("{line}\r\nhost: a\n\r\n"), 200),
        // A method is compared with its case, and any token is a method.
        (format!("get /v1/healthz HTTP/1.1{REST}"), 405),
        (format!("BREW /v1/healthz HTTP/1.1{REST}"), 405),
        (format!("!#$%&'*+-.^_`|~ /v1/healthz HTTP/1.1{REST}"), 405),
        (format!("{} /v1/healthz HTTP/1.1{REST}", "A".repeat(1_000)), 405),
    ])
    .await;
}

#[tokio::test]
async fn a_malformed_request_line_is_a_bad_request() {
    let lines = [
        "GET  /v1/healthz HTTP/1.1",
        "GET /v1/healthz  HTTP/1.1",
        "GET\t/v1/healthz\tHTTP/1.1",
        " GET /v1/healthz HTTP/1.1",
        "GET /v1/healthz HTTP/1.1 ",
        "GET /v1/healthz",
        "GET /v1/healthz ",
        "GET HTTP/1.1",
        "GET",
        "GET /v1/ healthz HTTP/1.1",
        "GET /v1/healthz http/1.1",
        "GET /v1/healthz HTTP/1",
        "GET /v1/healthz HTTP/1.",
        "GET /v1/healthz HTTP/01.1",
        "GET /v1/healthz HTTP/1.1x",
        "GET /v1/healthz HTTP/1,1",
        "GET /v1/healthz HTTP/2.0",
        "GET /v1/healthz HTTP/0.9",
        "GET /v1/healthz HTTPS/1.1",
        "GET /v1/healthz FTP/1.1",
        "G(T /v1/healthz HTTP/1.1",
        "G@T /v1/healthz HTTP/1.1",
        "G\u{e4}T /v1/healthz HTTP/1.1",
        "G\0T /v1/healthz HTTP/1.1",
        "GET: /v1/healthz HTTP/1.1",
        "GET /v1/health\0z HTTP/1.1",
        "GET /v1/health\u{1}z HTTP/1.1",
        "GET /v1/health\u{7f}z HTTP/1.1",
        "GET /v1/healthz\rHTTP/1.1",
        "GET v1/healthz HTTP/1.1",
        "GET \\v1\\healthz HTTP/1.1",
        "GET ?a=b HTTP/1.1",
        "GET [::1 HTTP/1.1",
    ];
    check_all(lines.map(|line| (format!("{line}{REST}"), 400))).await;
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_request() {
    check_all([
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"{\"type\": \"ping\"}\r\n\r\n", 400),
        (b"HTTP/1.1 200 OK\r\n\r\n", 400),
        (b"\x00\x00\x00\x00\r\n\r\n", 400),
        (b"\xff\xfe\xfd\r\n\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
        (b"*1\r\n$4\r\nPING\r\n", 400),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n", 400),
    ])
    .await;
}
