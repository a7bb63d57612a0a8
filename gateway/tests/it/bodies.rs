//! Bodies that are too large, of a wrong type, late or malformed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{TestGateway, assert_error};

const REGISTER: &str = "/v1/auth/register";

#[tokio::test]
async fn a_body_over_64_kib_is_refused_and_read_to_its_end() {
    let gateway = TestGateway::start().await;
    for size in [(64 << 10) + 1, 1 << 20, 2 << 20] {
        let body = format!("\"{}\"", "a".repeat(size - 2));
        assert_error(gateway.post(REGISTER, body).await, 413, "payload_too_large").await;
    }
    let exact = format!("\"{}\"", "a".repeat((64 << 10) - 2));
    assert_error(gateway.post(REGISTER, exact).await, 422, "validation_error").await;
}

#[tokio::test]
async fn other_errors_come_before_the_size_and_reach_the_client() {
    let gateway = TestGateway::start().await;
    let large = "a".repeat(1 << 20);
    assert_error(gateway.post("/v1/nothing", large.clone()).await, 404, "not_found").await;
    assert_error(gateway.post("/v1/healthz", large.clone()).await, 405, "method_not_allowed").await;
    assert_error(gateway.post("/v1/rooms", large).await, 401, "unauthenticated").await;
}

#[tokio::test]
async fn a_connection_stays_open_after_a_large_body() {
    let gateway = TestGateway::start().await;
    let body = "a".repeat(100_000);
    let first = format!(
        "POST {REGISTER} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let second = "GET /v1/healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = gateway.send_raw(format!("{first}{second}").as_bytes()).await;
    assert!(answers.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK\r\n"), "{answers}");
}

#[tokio::test]
async fn only_json_is_accepted() {
    let gateway = TestGateway::start().await;
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]
    {
        let request =
            gateway.request("POST", REGISTER).header("content-type", content_type).body("{}");
        assert_error(request.send().await.unwrap(), 415, "unsupported_media_type").await;
    }
    let without = gateway.request("POST", REGISTER).body("{}").send().await.unwrap();
    assert_error(without, 415, "unsupported_media_type").await;
    let with_charset = gateway
        .request("POST", REGISTER)
        .header("content-type", "Application/JSON; charset=UTF-8")
        .body("{}");
    assert_error(with_charset.send().await.unwrap(), 422, "validation_error").await;
}

#[tokio::test]
async fn an_empty_body_is_missing_whatever_its_type() {
    let gateway = TestGateway::start().await;
    for content_type in ["application/json", "text/plain"] {
        let request = gateway.request("POST", REGISTER).header("content-type", content_type);
        let body = assert_error(request.send().await.unwrap(), 422, "validation_error").await;
        assert_eq!(body["detail"][0]["loc"], serde_json::json!(["body"]));
        assert_eq!(body["detail"][0]["type"], "missing");
    }
}

#[tokio::test]
async fn a_body_must_be_a_json_object() {
    let gateway = TestGateway::start().await;
    let deep = "[".repeat(60_000);
    for (body, kind) in [
        (&b"\xff\xfe"[..], "json_invalid"),
        (b"\0", "json_invalid"),
        (b"{", "json_invalid"),
        (b"nonsense", "json_invalid"),
        (b"NaN", "json_invalid"),
        (b"{\"username\": NaN}", "json_invalid"),
        (b"{\"username\": 1e999}", "json_invalid"),
        (b"{\"username\": \"\\ud800\"}", "json_invalid"),
        (b"{} {}", "json_invalid"),
        (deep.as_bytes(), "json_invalid"),
        (b"[]", "value_error"),
        (b"null", "value_error"),
        (b"\"text\"", "value_error"),
    ] {
        let response = gateway.post(REGISTER, body.to_vec()).await;
        let error = assert_error(response, 422, "validation_error").await;
        assert_eq!(error["detail"].as_array().unwrap().len(), 1, "{error}");
        assert_eq!(error["detail"][0]["loc"], serde_json::json!(["body"]));
        assert_eq!(error["detail"][0]["type"], kind, "{}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn a_malformed_transfer_encoding_is_a_bad_request() {
    let gateway = TestGateway::start().await;
    let request = format!(
        "POST {REGISTER} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
    );
    let answer = gateway.send_raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"bad_request""#), "{answer}");
}

#[tokio::test]
async fn a_body_must_arrive_within_its_timeout() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    let head = format!("POST {REGISTER} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(15), reading).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
}
