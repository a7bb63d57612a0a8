//! Clients that connect and send nothing, or half a request.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout};

use super::raw::{exchange, is_client_error, open};
use super::target::Target;
use crate::connection::{Received, receive};

/// Connections of each kind at each gateway.
const CONNECTIONS: usize = 20;
/// How long a gateway waits for the first frame or the end of a request.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later it may close the connection on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(3);
const AUTH_TIMEOUT_CODE: u16 = 4408;

/// Requests without an end.
const HALF_REQUESTS: [&str; 2] = [
    "GET /v1/rooms HTTP/1.1\r\nHost: parlance\r\nAuthoriz",
    "POST /v1/auth/login HTTP/1.1\r\nHost: parlance\r\nContent-Type: application/json\r\n\
     Content-Length: 50\r\n\r\n{\"user",
];

pub(super) async fn run(target: Target<'_>) -> Vec<String> {
    let silent = join_all((0..CONNECTIONS).map(|_| send_nothing(target)));
    let requests = HALF_REQUESTS.iter().cycle().take(CONNECTIONS);
    let halves = join_all(requests.map(|half| send_half(target, half)));
    let (silent, halves) = join(silent, halves).await;
    let errors = silent.into_iter().chain(halves).filter_map(Result::err);
    errors.map(|error| format!("{error:#}")).collect()
}

async fn send_nothing(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, None).await?;
    let begin = Instant::now();
    let received = timeout(GATEWAY_TIMEOUT + TOLERANCE, receive(socket.stream())).await;
    let code = match received.context("a silent connection was not closed in time")?? {
        Received::Frame(frame) => bail!("a silent connection got {frame}"),
        Received::Closed(code) => code.unwrap_or_default(),
    };
    let after = begin.elapsed();
    let is_early = after < GATEWAY_TIMEOUT - Duration::from_millis(500);
    let is_right = code == AUTH_TIMEOUT_CODE && !is_early;
    ensure!(is_right, "a silent connection was closed with {code} after {after:?}");
    Ok(())
}

async fn send_half(target: Target<'_>, half: &str) -> anyhow::Result<()> {
    let answer = exchange(target, half.as_bytes(), GATEWAY_TIMEOUT + TOLERANCE).await;
    let answer = answer.context("half a request")?;
    let is_right = answer.is_empty() || is_client_error(&answer);
    ensure!(is_right, "half a request was answered `{answer}`");
    Ok(())
}
