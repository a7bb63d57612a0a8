//! Bodies that are too large, of a wrong type, late or damaged.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{TestGateway, assert_refused};

const REGISTER: &str = "/v1/auth/register";

#[tokio::test]
async fn a_body_over_64_kib_is_refused_and_read_to_its_end() {
    let gateway = TestGateway::start().await;
    for size in [(64 << 10) + 1, 1 << 20, 2 << 20] {
        let body = format!("\"{}\"", "a".repeat(size - 2));
        assert_refused(gateway.post(REGISTER, body).await, 413, "payload_too_large").await;
    }
    let exact = format!("\"{}\"", "a".repeat((64 << 10) - 2));
    assert_refused(gateway.post(REGISTER, exact).await, 422, "validation_error").await;
}

#[tokio::test]
async fn other_refusals_come_before_the_size_and_arrive_all_the_same() {
    let gateway = TestGateway::start().await;
    let large = "a".repeat(1 << 20);
    assert_refused(gateway.post("/v1/nothing", large.clone()).await, 404, "not_found").await;
    assert_refused(gateway.post("/v1/healthz", large.clone()).await, 405, "method_not_allowed")
        .await;
    assert_refused(gateway.post("/v1/rooms", large).await, 401, "unauthenticated").await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_large_body() {
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
async fn only_json_is_taken() {
    let gateway = TestGateway::start().await;
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]
    {
        let request =
            gateway.request("POST", REGISTER).header("content-type", content_type).body("{}");
        assert_refused(request.send().await.unwrap(), 415, "unsupported_media_type").await;
    }
    let without = gateway.request("POST", REGISTER).body("{}").send().await.unwrap();
    assert_refused(without, 415, "unsupported_media_type").await;
    let with_charset = gateway
        .request("POST", REGISTER)
        .header("content-type", "Application/JSON; charset=UTF-8")
        .body("{}");
    assert_refused(with_charset.send().await.unwrap(), 422, "validation_error").await;
}

#[tokio::test]
async fn no_body_is_missing_whatever_its_type() {
    let gateway = TestGateway::start().await;
    for content_type in ["application/json", "text/plain"] {
        let request = gateway.request("POST", REGISTER).header("content-type", content_type);
        let body = assert_refused(request.send().await.unwrap(), 422, "validation_error").await;
        assert_eq!(body["detail"][0]["loc"], serde_json::json!(["body"]));
        assert_eq!(body["detail"][0]["type"], "missing");
    }
}

#[tokio::test]
async fn bytes_that_are_no_json_are_refused() {
    let gateway = TestGateway::start().await;
    let deep = "[".repeat(60_000);
    for body in [&b"\xff\xfe"[..], b"\0", b"{\"username\": \"\\ud800\"}", b"NaN", deep.as_bytes()] {
        let body =
            assert_refused(gateway.post(REGISTER, body.to_vec()).await, 422, "validation_error")
                .await;
        assert_eq!(body["detail"][0]["type"], "json_invalid");
    }
}

#[tokio::test]
async fn a_damaged_body_is_a_bad_request() {
    let gateway = TestGateway::start().await;
    let request = format!(
        "POST {REGISTER} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
    );
    let answer = gateway.send_raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"bad_request""#), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_timed_out() {
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
