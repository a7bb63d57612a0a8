//! Those who take a place and say nothing, or do not finish what they say.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout};

use super::Target;
use super::raw::{Heard, answer_to, blames_the_client, heard, open};

/// At each gateway, of each kind.
const PLACES: usize = 20;
/// How long a gateway waits for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a busy machine may add.
const LENIENCE: Duration = Duration::from_secs(3);
const AUTH_TIMEOUT: u16 = 4408;

/// Requests without an end.
const HALF_SENT: [&str; 2] = [
    "GET /v1/rooms HTTP/1.1\r\nHost: parlance\r\nAuthoriz",
    "POST /v1/auth/login HTTP/1.1\r\nHost: parlance\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"user",
];

pub(super) async fn act(target: Target<'_>) -> Vec<String> {
    let silent = join_all((0..PLACES).map(|_| say_nothing(target)));
    let halves = join_all(HALF_SENT.iter().cycle().take(PLACES).map(|half| say_half(target, half)));
    let (silent, halves) = join(silent, halves).await;
    silent
        .into_iter()
        .chain(halves)
        .filter_map(|outcome| outcome.err())
        .map(|error| format!("{error:#}"))
        .collect()
}

async fn say_nothing(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, None).await?;
    let begin = Instant::now();
    let listening = async {
        loop {
            match heard(socket.next().await)? {
                Some(Heard::End(code)) => return anyhow::Ok(code),
                Some(Heard::Frame(frame)) => bail!("who had said nothing was told {frame}"),
                None => {}
            }
        }
    };
    let ended = timeout(PATIENCE + LENIENCE, listening).await;
    let code = ended.context("who said nothing was not sent away in time")??;
    let (code, after) = (code.unwrap_or_default(), begin.elapsed());
    let is_early = after < PATIENCE - Duration::from_millis(500);
    ensure!(
        code == AUTH_TIMEOUT && !is_early,
        "who said nothing was sent away with {code} after {after:?}"
    );
    Ok(())
}

async fn say_half(target: Target<'_>, half: &str) -> anyhow::Result<()> {
    let answer = answer_to(target, half.as_bytes(), PATIENCE + LENIENCE).await;
    let answer = answer.context("half a request")?;
    ensure!(
        answer.is_empty() || blames_the_client(&answer),
        "half a request was answered `{answer}`"
    );
    Ok(())
}
