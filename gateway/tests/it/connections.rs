//! Connections, request ids and draining.

use std::time::{Duration, Instant};

use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::TestGateway;
use crate::auth_double::AuthDouble;

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
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: ") && answer.contains("vary: Origin"), "{answer}");
    assert!(answer.ends_with(r#""code":"request_timeout"}"#), "{answer}");
}

#[tokio::test]
async fn a_connection_without_a_byte_ends_without_an_answer() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(15), reading).await.unwrap().unwrap();
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
}

/// Sends a request and reads its answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn an_idle_connection_lives_longer_than_a_head_may_take() {
    let gateway = TestGateway::start().await;
    let mut stream = gateway.connect().await;
    for _ in 0..2 {
        let answer = ask(&mut stream).await;
        assert!(answer.contains("\r\nkeep-alive: timeout=75\r\n"), "{answer}");
        tokio::time::sleep(Duration::from_secs(12)).await;
    }
    // The time for a head begins with its first byte.
    stream.write_all(b"GET").await.unwrap();
    let (started, mut answer) = (Instant::now(), String::new());
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(15), reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed() > Duration::from_secs(9), "ended too early");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_announced_time() {
    let gateway = TestGateway::start_with_settings(&["--keep-alive-timeout=2"]).await;
    let mut stream = gateway.connect().await;
    for _ in 0..3 {
        let answer = ask(&mut stream).await;
        assert!(answer.contains("\r\nkeep-alive: timeout=2\r\n"), "{answer}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut unread = Vec::new();
    let reading = stream.read_to_end(&mut unread);
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
    assert!(unread.is_empty(), "{}", unread.escape_ascii());
}

#[tokio::test]
async fn a_client_that_vanishes_does_not_keep_its_connection() {
    let limit = "--max-tcp-connections-per-address=1";
    let gateway = TestGateway::start_with_settings(&[limit]).await;
    for _ in 0..3 {
        let mut stream = wait_for_place(&gateway).await;
        // The answer takes a call to a service that is not there.
        let head = "POST /v1/auth/login HTTP/1.1\r\nhost: a\r\n\
                    content-type: application/json\r\ncontent-length: 38\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(br#"{"username": "ann", "password": "abc"}"#).await.unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    wait_for_place(&gateway).await;
}

/// Waits until the gateway answers on a new connection, and returns that.
async fn wait_for_place(gateway: &TestGateway) -> TcpStream {
    let place = async {
        loop {
            let mut stream = gateway.connect().await;
            let sent = stream.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut answer = [0; 1024];
            if sent.is_ok() && stream.read(&mut answer).await.is_ok_and(|length| length > 0) {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), place).await.unwrap()
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_connections_sockets_included() {
    let limit = "--max-tcp-connections-per-address=2";
    let auth = AuthDouble::start().await;
    let gateway = TestGateway::start_with_auth(&auth, &[limit]).await;
    let mut socket = gateway.connect().await;
    let upgrade = "GET /v1/messages/ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    assert!(socket.read(&mut answer).await.unwrap() > 0);
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    let mut idle = gateway.connect().await;
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));

    let mut third = gateway.connect().await;
    let refused = third.read(&mut answer).await;
    assert!(refused.as_ref().is_ok_and(|length| *length == 0) || refused.is_err());
    // The others go on, and a place that is given back is taken again.
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    drop(socket);
    wait_for_place(&gateway).await;
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
    assert!(TcpStream::connect(gateway.address).await.is_err());
}
