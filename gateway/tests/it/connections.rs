//! Connections, request ids and draining.

use std::time::{Duration, Instant};

use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::TestGateway;

async fn request_id(gateway: &TestGateway, given: Option<&str>) -> String {
    let mut request = gateway.request("GET", "/v1/healthz");
    if let Some(id) = given {
        request = request.header("x-request-id", id);
    }
    let response: Response = request.send().await.unwrap();
    response.headers()["x-request-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_well_formed_request_id_is_returned_and_any_other_is_replaced() {
    let gateway = TestGateway::start().await;
    for good in ["a-Z_0.9", &"a".repeat(128)] {
        assert_eq!(request_id(&gateway, Some(good)).await, good);
    }
    for bad in ["", "a b", "a/b", "ä", "a\"b", &"a".repeat(129)] {
        let made = request_id(&gateway, Some(bad)).await;
        assert!(made != bad && made.len() == 36, "{made}");
    }
    assert_ne!(request_id(&gateway, None).await, request_id(&gateway, None).await);
}

#[tokio::test]
async fn the_request_id_of_an_error_is_the_one_in_its_header() {
    let gateway = TestGateway::start().await;
    let response = gateway.post("/v1/auth/login", r#"{"username": "ann", "password": "x"}"#).await;
    let header = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["request_id"], header);
}

#[tokio::test]
async fn no_header_names_the_server_software() {
    let gateway = TestGateway::start().await;
    assert!(!gateway.get("/v1/healthz").await.headers().contains_key("server"));
}

#[tokio::test]
async fn a_request_head_must_arrive_within_its_timeout() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    stream.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let ended = tokio::time::timeout(Duration::from_secs(15), reading).await;
    assert!(ended.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_connection_in_use_stays_open_and_an_idle_one_is_closed() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    // Longer in total than the timeout of a head.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        stream.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).await.unwrap() > 0, "the connection has ended");
    }
    let (started, mut unread) = (Instant::now(), Vec::new());
    let ended =
        tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut unread)).await;
    assert!(ended.is_ok(), "the connection is still open");
    assert!(started.elapsed() > Duration::from_secs(9), "ended too early");
}

#[tokio::test]
async fn a_request_may_take_longer_than_its_head() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    let head = "POST /v1/auth/register HTTP/1.1\r\nhost: a\r\n\
                connection: close\r\ncontent-length: 2\r\n\r\n";
    // 8 s for the head and 8 s for the body.
    for part in [&head[..20], &head[20..]] {
        stream.write_all(part.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    stream.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn bytes_that_are_not_http_are_a_bad_request() {
    let gateway = TestGateway::start().await;
    let answer = gateway.send_raw(b"\x16\x03\x01 nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_draining_gateway_accepts_no_connection_and_closes_idle_ones() {
    let gateway = TestGateway::start().await;
    let mut idle = gateway.connect().await;
    idle.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    assert!(idle.read(&mut answer).await.unwrap() > 0);

    gateway.lifecycle.draining().cancel();
    let mut unread = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut unread))
        .await
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(gateway.address).await.is_err());
}
