//! A gateway that drains.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlance_devstack::Stack;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{DRAIN_TIMEOUT, draining_stack};
use crate::support::{Ended, Person, Socket, eventually, make_room, on_own_stack, person};
use crate::ws::message_with_ref;

const SOCKETS: usize = 60;
/// The longest time until a gateway handles SIGTERM.
const SOON: Duration = Duration::from_millis(900);

/// Opens a TCP connection to the first gateway.
async fn connect(stack: &Stack) -> std::io::Result<TcpStream> {
    TcpStream::connect(stack.address("gateway", 0)).await
}

/// Sends SIGTERM to the first gateway and waits until it refuses connections.
async fn terminate_first_gateway(stack: &Stack) {
    stack.process("gateway", 0).terminate().unwrap();
    eventually(SOON, "connections are refused", async || connect(stack).await.is_err()).await;
}

async fn ends_in_time(stack: &Stack) {
    assert!(stack.process("gateway", 0).wait(DRAIN_TIMEOUT).await.unwrap().success());
}

/// Reads up to the end of the connection.
async fn read_to_end(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).await.expect("the connection ends in good order");
    text
}

/// Reads up to a marker.
async fn read_up_to(connection: &mut TcpStream, marker: &str) {
    let mut text = String::new();
    while !text.ends_with(marker) {
        text.push(char::from(connection.read_u8().await.unwrap()));
    }
}

#[tokio::test]
async fn a_draining_gateway_acks_sent_frames_and_spreads_its_closes() {
    on_own_stack(draining_stack(1, 1), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        let mut sockets: Vec<Socket> = join_all((0..SOCKETS).map(|_| anna.socket())).await;
        for socket in &mut sockets {
            socket.send(&message_with_ref(room, "The last word", "last")).await;
        }
        let sent = Instant::now();
        let closing = join_all(sockets.into_iter().map(async |mut socket| {
            assert_eq!(socket.next().await["type"], "ack");
            assert_eq!(socket.frame_or_end().await, Err(Ended(Some(1012))));
            sent.elapsed()
        }));
        let (stayed, ()) = tokio::join!(closing, terminate_first_gateway(stack));
        ends_in_time(stack).await;

        let mut quarters = [0; 4];
        for stayed in stayed {
            let place = stayed.as_secs_f64() / (DRAIN_TIMEOUT.as_secs_f64() * 0.7) * 4.0;
            quarters[(place as usize).min(3)] += 1;
        }
        assert!(quarters.iter().all(|count| (1..=SOCKETS * 2 / 3).contains(count)), "{quarters:?}");
    })
    .await;
}

/// A request head and the first part of its body.
fn request(person: &Person, line: &str, length: usize, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{body}",
        person.token
    )
}

#[tokio::test]
async fn a_draining_gateway_answers_requests_on_open_connections() {
    on_own_stack(draining_stack(1, 1), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        let me = request(&anna, "GET /v1/auth/me", 0, "\r\n");

        let mut idle = connect(stack).await.unwrap();
        idle.write_all(me.as_bytes()).await.unwrap();
        read_up_to(&mut idle, "}").await;
        let body = json!({"content": "Begun"}).to_string();
        let line = format!("POST /v1/messages/rooms/{room}");
        let mut begun = connect(stack).await.unwrap();
        let head = request(&anna, &line, body.len(), "expect: 100-continue\r\n\r\n");
        begun.write_all(head.as_bytes()).await.unwrap();
        // The gateway has read the head and waits for the body.
        read_up_to(&mut begun, "100 Continue\r\n\r\n").await;
        let mut let_in = connect(stack).await.unwrap();
        let mut silent = connect(stack).await.unwrap();
        terminate_first_gateway(stack).await;

        assert_eq!(read_to_end(&mut idle).await, "");
        let_in.write_all(me.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut let_in).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        begun.write_all(body.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut begun).await;
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(read_to_end(&mut silent).await, "");
        ends_in_time(stack).await;
    })
    .await;
}
