//! The shape of errors of the server itself: id, CORS, code.

use crate::app::{ORIGIN, TestGateway};

use super::wire::{Answer, exchange, get};

/// Heads that are refused before a request exists, with these lines in them.
fn refused(lines: &str) -> [(String, u16, &'static str); 7] {
    let long = "a".repeat(70 << 10);
    [
        (get("/v1/healthz", &format!("{lines}x y\r\n")), 400, "bad_request"),
        (format!("GET /v1/healthz HTTP/9.9\r\nhost: a\r\n{lines}\r\n"), 400, "bad_request"),
        (format!("GET /v1/healthz HTTP/1.1\r\n{lines}\r\n"), 400, "bad_request"),
        (get("/v1/%zz", lines), 400, "bad_request"),
        (get("/v1/healthz", &format!("{lines}x: {long}\r\n")), 431, "headers_too_large"),
        (get(&format!("/{}", &long[..20_000]), lines), 414, "uri_too_long"),
        (get("/v1/healthz", &format!("{lines}transfer-encoding: x\r\n")), 400, "bad_request"),
    ]
}

async fn answers(lines: &str) -> Vec<Answer> {
    let gateway = TestGateway::start().await;
    let mut answers = Vec::new();
    for (sent, status, code) in refused(lines) {
        let answer = exchange(&gateway, sent.as_bytes(), &[status]).await;
        assert_eq!(answer.code(), code, "{lines}");
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_errors_of_the_server() {
    for answer in answers(&format!("origin: {ORIGIN}\r\n")).await {
        assert_eq!(answer.field("access-control-allow-origin"), ORIGIN);
        assert_eq!(answer.field("access-control-allow-credentials"), "true");
        assert!(answer.field("access-control-expose-headers").contains("x-request-id"));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_read_errors_of_the_server() {
    // `Wire` checks that the field is missing.
    answers("origin: http://evil.example\r\n").await;
}

#[tokio::test]
async fn an_error_of_the_server_has_the_id_of_the_request() {
    for answer in answers("x-request-id: my-id.1\r\n").await {
        assert_eq!(answer.field("x-request-id"), "my-id.1");
    }
    for answer in answers("x-request-id: not valid\r\n").await {
        assert_eq!(answer.field("x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn a_preflight_must_be_valid_http_too() {
    let gateway = TestGateway::start().await;
    let preflight = |host: &str| {
        format!(
            "OPTIONS /v1/rooms HTTP/1.1\r\n{host}origin: {ORIGIN}\r\n\
             access-control-request-method: POST\r\n\r\n"
        )
    };
    exchange(&gateway, preflight("host: a\r\n").as_bytes(), &[204]).await;
    exchange(&gateway, preflight("").as_bytes(), &[400]).await;
}
