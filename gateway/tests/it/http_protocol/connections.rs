//! Connections (RFC 9112 9): half-closed ones, pipelining, persistence, `Expect`.

use crate::app::TestGateway;

use super::wire::{Wire, exchange, get};

const LOG_IN: &str = "POST /v1/auth/login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                      content-length: 38\r\n\r\n{\"username\": \"ann\", \"password\": \"abc\"}";

/// Sends bytes, ends the client's side, and checks the statuses of the answers and the end.
async fn half_closed(gateway: &TestGateway, sent: &str, statuses: &[u16]) {
    let mut wire = Wire::open(gateway).await;
    wire.send(sent.as_bytes()).await;
    wire.half_close().await;
    for &status in statuses {
        assert_eq!(wire.answer().await.status, status, "{sent}");
    }
    wire.end().await;
}

#[tokio::test]
async fn a_client_that_half_closes_gets_its_answers() {
    let gateway = TestGateway::start().await;
    half_closed(&gateway, &get("/v1/healthz", ""), &[200]).await;
    half_closed(&gateway, &get("/v1/auth/me", ""), &[401]).await;
    half_closed(&gateway, &get("/v1/healthz", "connection: close\r\n"), &[200]).await;
    // The answer takes a call to a service.
    half_closed(&gateway, LOG_IN, &[503]).await;
    half_closed(&gateway, &format!("{LOG_IN}{}", get("/v1/healthz", "")), &[503, 200]).await;
    half_closed(&gateway, &get("/v1/healthz", "").repeat(5), &[200; 5]).await;
    half_closed(&gateway, "nonsense\r\n\r\n", &[400]).await;
    half_closed(&gateway, "GET /v1/healthz HTTP/1.0\r\n\r\n", &[200]).await;
}

#[tokio::test]
async fn a_head_that_ends_early_is_a_bad_request_and_nothing_is_no_request() {
    let gateway = TestGateway::start().await;
    half_closed(&gateway, "GET /v1/healthz HTTP/1.1\r\nhost: a\r\n", &[400]).await;
    half_closed(&gateway, "GET", &[400]).await;
    half_closed(&gateway, "", &[]).await;
    half_closed(&gateway, "\r\n", &[]).await;
}

#[tokio::test]
async fn a_half_closed_connection_that_becomes_a_socket_ends() {
    let gateway = TestGateway::start_with_stream().await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut wire = Wire::open(&gateway).await;
    wire.send(get("/v1/messages/ws", upgrade).as_bytes()).await;
    wire.half_close().await;
    assert_eq!(wire.answer().await.status, 101);
    wire.end_of_socket().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = TestGateway::start().await;
    let (good, unknown) = (get("/v1/healthz", ""), get("/v1/nothing", ""));
    for (sent, statuses) in [
        (format!("{good}{good}"), &[200, 200][..]),
        (format!("{good}{unknown}{good}"), &[200, 404, 200]),
        (good.repeat(50), &[200; 50]),
        (format!("{LOG_IN}{good}"), &[503, 200]),
        (format!("{good}\r\n\r\n{good}"), &[200, 200]),
        // Nothing after a malformed request or after the last one is read.
        (format!("{good}GET\r\n\r\n{good}"), &[200, 400]),
        (format!("{good}{}", get("/v1/healthz", "x y\r\n")), &[200, 400]),
        (format!("{good}GET /v1/healthz HTTP/1.1\r\n\r\n{good}"), &[200, 400, 200]),
        (format!("{}{good}", get("/v1/healthz", "connection: close\r\n")), &[200]),
        (format!("GET /v1/healthz HTTP/1.0\r\n\r\n{good}"), &[200]),
    ] {
        exchange(&gateway, sent.as_bytes(), statuses).await;
    }
}

#[tokio::test]
async fn a_connection_lives_on_unless_the_client_asks_for_its_end() {
    let gateway = TestGateway::start().await;
    let http_1_0 = |lines: &str| format!("GET /v1/healthz HTTP/1.0\r\nhost: a\r\n{lines}\r\n");
    for (sent, connection) in [
        (get("/v1/healthz", ""), "keep-alive"),
        (get("/v1/healthz", "connection: keep-alive\r\n"), "keep-alive"),
        (get("/v1/healthz", "connection: x, y\r\n"), "keep-alive"),
        (get("/v1/healthz", "connection: upgrade\r\nupgrade: h2c\r\n"), "keep-alive"),
        (get("/v1/healthz", "connection: close\r\n"), "close"),
        (get("/v1/healthz", "connection: Close\r\n"), "close"),
        (get("/v1/healthz", "connection: x, close\r\n"), "close"),
        (get("/v1/healthz", "connection: keep-alive\r\nconnection: close\r\n"), "close"),
        (http_1_0(""), "close"),
        (http_1_0("connection: keep-alive\r\n"), "keep-alive"),
        (http_1_0("connection: close\r\n"), "close"),
    ] {
        let answer = exchange(&gateway, sent.as_bytes(), &[200]).await;
        assert_eq!(answer.field("connection"), connection, "{sent}");
        let unknown = sent.replace("healthz", "nothing");
        let answer = exchange(&gateway, unknown.as_bytes(), &[404]).await;
        assert_eq!(answer.field("connection"), connection, "{unknown}");
    }
}

#[tokio::test]
async fn a_client_that_expects_to_continue_is_told_to() {
    let gateway = TestGateway::start().await;
    let head = |lines: &str| {
        format!(
            "POST /v1/auth/register HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             {lines}\r\n"
        )
    };
    let mut wire = Wire::open(&gateway).await;
    wire.send(head("expect: 100-continue\r\ncontent-length: 2\r\n").as_bytes()).await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(b"{}").await;
    assert_eq!(wire.answer().await.status, 422);

    for (sent, statuses) in [
        (head("expect: 100-Continue\r\ncontent-length: 2\r\n") + "{}", &[100, 422][..]),
        // Without a body and in HTTP/1.0 there is nothing to wait for.
        (head("expect: 100-continue\r\n"), &[422]),
        (
            head("expect: 100-continue\r\ncontent-length: 2\r\n").replace("HTTP/1.1", "HTTP/1.0")
                + "{}",
            &[422],
        ),
    ] {
        exchange(&gateway, sent.as_bytes(), statuses).await;
    }
}
