//! Clients that send what is no request, no frame, or too large.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use parlance_client::{Message, WebSocket};
use rand::RngCore;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::raw::{TIMEOUT, exchange, is_client_error, open};
use super::target::Target;
use crate::connection::{Received, receive};

const ROUND_INTERVAL: Duration = Duration::from_millis(20);
/// The number of random bytes.
const RANDOM_BYTES: usize = 512;
/// One byte more than a frame may have.
const TOO_LARGE: usize = (64 << 10) + 1;
const TOO_LARGE_CODE: u16 = 1009;

/// Invalid frames, each with the error code of its answer.
const INVALID_FRAMES: [(&str, &str); 6] = [
    ("{", "invalid_json"),
    ("[]", "invalid_json"),
    ("{}", "invalid_frame"),
    (r#"{"type": "dance"}"#, "unknown_type"),
    (r#"{"type": "subscribe", "room_id": "five"}"#, "invalid_frame"),
    (r#"{"type": "send_message", "room_id": 1, "content": " "}"#, "content_invalid"),
];

/// Sends each kind of garbage in turn.
pub(super) async fn run(target: Target<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    while Instant::now() < target.until {
        let results = [
            ("a random request", send_random_request(target).await),
            ("a random body", send_random_body(target).await),
            ("invalid frames", send_invalid_frames(target).await),
            ("a frame that is too large", send_large_frame(target).await),
        ];
        for (garbage, result) in results {
            breaches.extend(result.err().map(|error| format!("to {garbage}: {error:#}")));
        }
        sleep(ROUND_INTERVAL).await;
    }
    breaches
}

fn random_bytes() -> Vec<u8> {
    let mut bytes = vec![0; RANDOM_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

async fn send_random_request(target: Target<'_>) -> anyhow::Result<()> {
    let mut bytes = random_bytes();
    bytes.extend(b"\r\n\r\n");
    let answer = exchange(target, &bytes, TIMEOUT).await?;
    ensure!(answer.is_empty() || is_client_error(&answer), "`{answer}`");
    Ok(())
}

async fn send_random_body(target: Target<'_>) -> anyhow::Result<()> {
    let body = random_bytes();
    let head = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        target.gateway,
        body.len()
    );
    let answer = exchange(target, &[head.as_bytes(), &body].concat(), TIMEOUT).await?;
    ensure!(is_client_error(&answer), "`{answer}`");
    Ok(())
}

async fn send_invalid_frames(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.accounts.sender)).await?;
    next_frame(&mut socket).await.context("no first frame")?;
    let texts = INVALID_FRAMES.map(|(text, code)| (Message::text(text), code));
    let binary = (Message::binary(random_bytes()), "invalid_frame");
    for (message, code) in texts.into_iter().chain([binary]) {
        let answer = ask(&mut socket, message.clone()).await?;
        let is_right = answer["type"] == "error" && answer["code"] == code;
        ensure!(is_right, "{message:?} was answered {answer}");
    }
    // The connection must still work.
    let answer = ask(&mut socket, Message::text(r#"{"type": "ping"}"#)).await?;
    ensure!(answer["type"] == "pong", "a ping was answered {answer}");
    Ok(())
}

async fn send_large_frame(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.accounts.sender)).await?;
    socket.send_message(Message::text("x".repeat(TOO_LARGE))).await?;
    loop {
        let received = timeout(TIMEOUT, receive(socket.stream())).await;
        if let Received::Closed(code) = received.context("not closed in time")?? {
            ensure!(code == Some(TOO_LARGE_CODE), "close code {code:?}");
            return Ok(());
        }
    }
}

async fn ask(socket: &mut WebSocket, message: Message) -> anyhow::Result<Value> {
    socket.send_message(message).await?;
    next_frame(socket).await
}

async fn next_frame(socket: &mut WebSocket) -> anyhow::Result<Value> {
    match timeout(TIMEOUT, receive(socket.stream())).await.context("no answer in time")?? {
        Received::Frame(frame) => Ok(frame),
        Received::Closed(code) => bail!("the connection ended with {code:?}"),
    }
}
