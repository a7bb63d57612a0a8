//! The client against a gateway that the test plays.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parlance_client::{Client, Error, Message, Options, Request, WebSocket};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"id\":7}";

#[tokio::test]
async fn a_request_is_repeated_while_the_gateway_is_unavailable() {
    let (gateway, _tasks) = http_gateway(&["", UNAVAILABLE, OK]).await;
    let response = Client::new(gateway).send_until_answered(Request::get("/")).await.unwrap();
    assert_eq!(response.expect(200).unwrap(), json!({"id": 7}));
}

#[tokio::test]
async fn a_single_call_returns_the_response_whatever_its_status_is() {
    let (gateway, _tasks) = http_gateway(&[UNAVAILABLE]).await;
    let response = Client::new(gateway).send(Request::get("/")).await.unwrap();
    assert!(matches!(response.expect(200), Err(Error::Status { status, .. }) if status == 503));
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let client = Client::with_options([listener.local_addr().unwrap()], options);
    assert!(matches!(client.send(Request::get("/")).await, Err(Error::Timeout(_))));
}

#[tokio::test]
async fn a_refused_upgrade_has_its_status() {
    let (gateway, _tasks) = http_gateway(&[UNAVAILABLE]).await;
    let refused = WebSocket::connect(gateway, "token").await.unwrap_err();
    assert!(matches!(refused, Error::Status { status, .. } if status == 503));
}

#[tokio::test]
async fn frames_that_arrive_before_an_answer_are_read_after_it() {
    let (gateway, _tasks) = websocket_gateway(|request| {
        let answer = json!({"type": "success", "ref": request["ref"]});
        vec![json!({"type": "message", "seq": 1}), answer]
    })
    .await;
    let mut socket = WebSocket::connect(gateway, "token").await.unwrap();
    assert_eq!(socket.subscribe(5, None).await.unwrap()["type"], "success");
    assert_eq!(socket.next().await.unwrap(), json!({"type": "message", "seq": 1}));
    assert!(matches!(socket.next().await, Err(Error::Closed(_))));
}

#[tokio::test]
async fn an_error_frame_is_an_error_of_the_request() {
    let refuse = |request: Value| vec![json!({"type": "error", "ref": request["ref"]})];
    let (gateway, _tasks) = websocket_gateway(refuse).await;
    let mut socket = WebSocket::connect(gateway, "token").await.unwrap();
    assert!(matches!(socket.subscribe(5, Some(1)).await, Err(Error::Frame(_))));
}

/// Gives each connection one of these responses and closes it.
async fn http_gateway(responses: &'static [&'static str]) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for response in responses {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    (address, tasks)
}

/// Answers the first frame of the first connection with these frames and closes it.
async fn websocket_gateway(answer: fn(Value) -> Vec<Value>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let Some(Ok(Message::Text(request))) = socket.next().await else { panic!("no frame") };
        for frame in answer(serde_json::from_str(&request).unwrap()) {
            socket.send(Message::text(frame.to_string())).await.unwrap();
        }
        socket.close(None).await.unwrap();
    });
    (address, tasks)
}
