//! Those who send what is no request, no frame, or too large.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use rand::RngCore;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Target;
use super::raw::{DEADLINE, Heard, RawSocket, answer_to, blames_the_client, heard, open};

const PAUSE: Duration = Duration::from_millis(20);
/// Of bytes that mean nothing.
const NOISE: usize = 512;
/// More than a frame may have.
const TOO_LARGE: usize = (64 << 10) + 1;
const TOO_BIG: u16 = 1009;

/// Frames that mean nothing, each with the code of its answer.
const NONSENSE: [(&str, &str); 6] = [
    ("{", "invalid_json"),
    ("[]", "invalid_json"),
    ("{}", "invalid_frame"),
    (r#"{"type": "dance"}"#, "unknown_type"),
    (r#"{"type": "subscribe", "room_id": "five"}"#, "invalid_frame"),
    (r#"{"type": "send_message", "room_id": 1, "content": " "}"#, "content_invalid"),
];

/// One kind after the other, again and again.
pub(super) async fn act(target: Target<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    while Instant::now() < target.until {
        breaches.extend(breach("noise instead of a request", send_noise(target).await));
        breaches.extend(breach("a body that is noise", send_noisy_body(target).await));
        breaches.extend(breach("nonsense in frames", send_nonsense(target).await));
        breaches.extend(breach("a frame that is too large", send_too_much(target).await));
        sleep(PAUSE).await;
    }
    breaches
}

fn breach(what: &str, outcome: anyhow::Result<()>) -> Option<String> {
    outcome.err().map(|error| format!("to {what}: {error:#}"))
}

fn noise() -> Vec<u8> {
    let mut noise = vec![0; NOISE];
    rand::rng().fill_bytes(&mut noise);
    noise
}

async fn send_noise(target: Target<'_>) -> anyhow::Result<()> {
    let mut bytes = noise();
    bytes.extend(b"\r\n\r\n");
    let answer = answer_to(target, &bytes, DEADLINE).await?;
    ensure!(answer.is_empty() || blames_the_client(&answer), "`{answer}`");
    Ok(())
}

async fn send_noisy_body(target: Target<'_>) -> anyhow::Result<()> {
    let body = noise();
    let head = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: \
         {}\r\n\r\n",
        target.authority(),
        body.len()
    );
    let answer = answer_to(target, &[head.as_bytes(), &body].concat(), DEADLINE).await?;
    ensure!(blames_the_client(&answer), "`{answer}`");
    Ok(())
}

async fn send_nonsense(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.villains.talker)).await?;
    next_frame(&mut socket).await.context("no welcome")?;
    let frames = NONSENSE.map(|(text, code)| (Message::text(text), code));
    for (message, code) in frames.into_iter().chain([(Message::binary(noise()), "invalid_frame")]) {
        let answer = ask(&mut socket, message.clone()).await?;
        ensure!(
            answer["type"] == "error" && answer["code"] == code,
            "{message:?} was answered {answer}"
        );
    }
    // After all this the connection is as good as new.
    let answer = ask(&mut socket, Message::text(r#"{"type": "ping"}"#)).await?;
    ensure!(answer["type"] == "pong", "a ping was answered {answer}");
    Ok(())
}

async fn send_too_much(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.villains.talker)).await?;
    timeout(DEADLINE, socket.send(Message::text("x".repeat(TOO_LARGE)))).await??;
    loop {
        match timeout(DEADLINE, socket.next()).await.map(heard).context("not closed in time")?? {
            Some(Heard::End(code)) => {
                ensure!(code == Some(TOO_BIG), "close code {code:?}");
                return Ok(());
            }
            Some(Heard::Frame(_)) | None => {}
        }
    }
}

async fn ask(socket: &mut RawSocket, message: Message) -> anyhow::Result<Value> {
    timeout(DEADLINE, socket.send(message)).await??;
    next_frame(socket).await
}

async fn next_frame(socket: &mut RawSocket) -> anyhow::Result<Value> {
    loop {
        match timeout(DEADLINE, socket.next()).await.map(heard).context("no answer in time")?? {
            Some(Heard::Frame(frame)) => return Ok(frame),
            Some(Heard::End(code)) => anyhow::bail!("the connection ended with {code:?}"),
            None => {}
        }
    }
}
