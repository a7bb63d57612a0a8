//! The upgrade to a WebSocket, and WebSockets that are not authenticated, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::TestGateway;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "sec-websocket-version: 13\r\n";
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\n";
/// The longest time until a connection ends.
const SOON: Duration = Duration::from_secs(8);

/// Sends an upgrade request with these lines. Returns the head of the answer in lower case, and the
/// connection.
async fn upgrade(gateway: &TestGateway, lines: &str) -> (String, TcpStream) {
    let mut stream = gateway.connect().await;
    let request = format!("GET /v1/messages/ws HTTP/1.1\r\nhost: gateway\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap().to_lowercase(), stream)
}

async fn open(gateway: &TestGateway) -> TcpStream {
    let (head, stream) = upgrade(gateway, &format!("{UPGRADE}{VERSION}{KEY}")).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    stream
}

/// Returns a frame whose mask changes nothing, or the beginning of a longer one.
fn frame(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match length {
        0..=125 => wire.push(0x80 | length as u8),
        126..=0xffff => {
            wire.push(0x80 | 126);
            wire.extend((length as u16).to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend(length.to_be_bytes());
        }
    }
    wire.extend([0; 4]);
    wire.extend(payload);
    wire
}

/// Returns what arrives until the gateway ends the connection. A reset fails.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    timeout(SOON, stream.read_to_end(&mut received)).await.unwrap().unwrap();
    received
}

#[tokio::test]
async fn an_upgrade_may_be_written_in_every_form_of_a_list() {
    let gateway = TestGateway::start_with_stream().await;
    for lines in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "CONNECTION:keep-alive,\tUPGRADE \r\nUPGRADE:  WebSocket\r\n",
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: ,Upgrade,,close\r\nUpgrade: foo/2, websocket\r\n",
    ] {
        let (head, _) = upgrade(&gateway, &format!("{lines}{VERSION}{KEY}")).await;
        assert!(head.starts_with("http/1.1 101 "), "{lines}{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    }
}

#[tokio::test]
async fn extensions_and_sub_protocols_are_declined() {
    let gateway = TestGateway::start_with_stream().await;
    let offers = "sec-websocket-extensions: permessage-deflate\r\nsec-websocket-protocol: chat\r\n";
    let (head, _) = upgrade(&gateway, &format!("{UPGRADE}{VERSION}{KEY}{offers}")).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(!head.contains("extensions") && !head.contains("protocol:"), "{head}");
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_how_to_upgrade() {
    let gateway = TestGateway::start_with_stream().await;
    for lines in [
        String::new(),
        format!("connection: upgrade\r\n{VERSION}{KEY}"),
        format!("upgrade: websocket\r\n{VERSION}{KEY}"),
        format!("{UPGRADE}{KEY}"),
        format!("{UPGRADE}sec-websocket-version: 8\r\n{KEY}"),
        format!("{UPGRADE}sec-websocket-version: 8\r\n"),
    ] {
        let (head, _) = upgrade(&gateway, &lines).await;
        assert!(head.starts_with("http/1.1 426 "), "{lines}{head}");
        for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{lines}{head}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_without_one_valid_key_is_a_bad_request() {
    let gateway = TestGateway::start_with_stream().await;
    for key in ["", "sec-websocket-key: c2hvcnQ=\r\n", &KEY.repeat(2)] {
        let (head, mut stream) = upgrade(&gateway, &format!("{UPGRADE}{VERSION}{key}")).await;
        assert!(head.starts_with("http/1.1 400 ") && head.contains("x-request-id"), "{key}{head}");
        let mut body = [0; 512];
        let length = stream.read(&mut body).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body[..length]).unwrap();
        assert_eq!(body["code"], "bad_request");
    }
}

#[tokio::test]
async fn a_page_of_the_own_origin_may_connect_and_another_may_not() {
    let gateway = TestGateway::start_with_stream().await;
    for (origin, status) in [
        ("https://gateway", 101),
        ("https://gateway:443", 101),
        ("http://gateway", 101),
        ("https://gateway:8000", 403),
        ("gateway", 403),
        ("null", 403),
        ("https://evil.example", 403),
    ] {
        let lines = format!("{UPGRADE}{VERSION}{KEY}origin: {origin}\r\n");
        let (head, _) = upgrade(&gateway, &lines).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{origin} {head}");
    }
}

#[tokio::test]
async fn the_close_frame_of_an_unauthenticated_client_is_answered() {
    let gateway = TestGateway::start_with_stream().await;
    for (payload, answer) in [
        (&b""[..], &b""[..]),
        (b"\x03\xe8", b"\x03\xe8"),
        (b"\x03\xe8bye", b"\x03\xe8"),
        (b"\x03\xe9", b"\x03\xe9"),
        (b"\x0b\xb8", b"\x0b\xb8"),
        (b"\x03", b"\x03\xea"),
        (b"\x03\xed", b"\x03\xea"),
        (b"\x03\xe8\xff", b"\x03\xef"),
    ] {
        let mut stream = open(&gateway).await;
        let close = frame(0x88, payload.len() as u64, payload);
        // What follows a close frame is not read.
        stream.write_all(&[&close[..], b"more"].concat()).await.unwrap();
        let expected = [&[0x88, answer.len() as u8][..], answer].concat();
        assert_eq!(read_to_end(&mut stream).await, expected, "{payload:?}");
    }
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_is_answered_with_a_close_frame() {
    let gateway = TestGateway::start_with_stream().await;
    for (what, wire, code) in [
        ("a reserved bit", frame(0xc1, 1, b"x"), 1002_u16),
        ("an unknown opcode", frame(0x83, 0, b""), 1002),
        ("no mask", b"\x81\x01x".to_vec(), 1002),
        ("a fragmented ping", frame(0x09, 0, b""), 1002),
        ("a long ping", frame(0x89, 126, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, 1, b"x"), 1002),
        ("no UTF-8", frame(0x81, 1, b"\xff"), 1007),
        ("too large", frame(0x81, (64 << 10) + 1, b"x"), 1009),
    ] {
        let mut stream = open(&gateway).await;
        // A megabyte that is on its way does not keep the close frame from the client.
        stream.write_all(&[wire, vec![b'x'; 1 << 20]].concat()).await.unwrap();
        let code = code.to_be_bytes();
        assert_eq!(read_to_end(&mut stream).await, [0x88, 2, code[0], code[1]], "{what}");
    }
}

#[tokio::test]
async fn pings_are_answered_before_authentication() {
    let gateway = TestGateway::start_with_stream().await;
    let mut stream = open(&gateway).await;
    let close = frame(0x88, 0, b"");
    stream.write_all(&[frame(0x89, 2, b"hi"), close].concat()).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, b"\x8a\x02hi\x88\x00");
}
