//! Clients that send valid frames as fast as the gateway takes them.

use anyhow::{Context, bail, ensure};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, join};
use parlance_client::Message;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};

use super::raw::{TIMEOUT, open};
use super::target::Target;
use crate::connection::{Received, receive};

/// Connections at each gateway.
const CONNECTIONS: usize = 3;
/// Messages that are written with one flush.
const BATCH: u32 = 16;
/// Unanswered messages: more than all buffers on the way hold, and few enough to be answered within
/// the timeout.
const MAX_IN_FLIGHT: usize = 1_000;
/// The `ref` of the last frame.
const LAST: &str = "last";
/// What a valid frame of a member may be answered with.
const ANSWERS: [&str; 5] = ["ack", "message", "pong", "success", "typing"];
const ERROR_CODES: [&str; 2] = ["rate_limited", "unavailable"];

pub(super) async fn run(target: Target<'_>) -> Vec<String> {
    let flooding = join_all((0..CONNECTIONS).map(|number| flood_in_time(target, number)));
    let errors = flooding.await.into_iter().filter_map(Result::err);
    errors.map(|error| format!("to a flood: {error:#}")).collect()
}

async fn flood_in_time(target: Target<'_>, number: usize) -> anyhow::Result<()> {
    let flooded = timeout_at(target.until + TIMEOUT, flood(target, number)).await;
    flooded.context("the last frame was not answered in time")?
}

async fn flood(target: Target<'_>, number: usize) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.accounts.sender)).await?;
    let (mut to_gateway, mut from_gateway) = socket.stream().split();
    let in_flight = Semaphore::new(MAX_IN_FLIGHT);
    let sending = async {
        let mut count = 0;
        while let Ok(permits) = timeout_at(target.until, in_flight.acquire_many(BATCH)).await {
            permits?.forget();
            for frame in batch(target.accounts.own_room, number, &mut count) {
                to_gateway.feed(Message::text(frame.to_string())).await?;
            }
            timeout(TIMEOUT, to_gateway.flush()).await??;
        }
        let ping = json!({"type": "ping", "ref": LAST}).to_string();
        to_gateway.send(Message::text(ping)).await?;
        anyhow::Ok(())
    };
    let reading = async {
        loop {
            match receive(&mut from_gateway).await? {
                Received::Frame(frame) if frame["ref"] == LAST => return Ok(()),
                Received::Frame(frame) => {
                    ensure!(is_allowed(&frame), "{frame}");
                    in_flight.add_permits(usize::from(frame["ref"].is_string()));
                }
                Received::Closed(Some(4429) | None) => return Ok(()),
                Received::Closed(Some(code)) => bail!("close code {code}"),
            }
        }
    };
    // Sending fails after the gateway has closed the connection, which is allowed.
    let (_, read) = join!(sending, reading);
    read
}

/// Returns a batch of messages and one frame of each other type.
fn batch(room: i64, number: usize, count: &mut usize) -> Vec<Value> {
    let mut frames = vec![
        json!({"type": "subscribe", "room_id": room}),
        json!({"type": "typing", "room_id": room}),
        json!({"type": "ping"}),
    ];
    frames.extend((0..BATCH).map(|_| {
        *count += 1;
        let reference = format!("{number}-{count}");
        json!({"type": "send_message", "room_id": room, "content": "flood", "ref": reference})
    }));
    frames
}

fn is_allowed(frame: &Value) -> bool {
    let is_one_of =
        |known: &[&str], value: &Value| value.as_str().is_some_and(|value| known.contains(&value));
    is_one_of(&ANSWERS, &frame["type"])
        || frame["type"] == "error" && is_one_of(&ERROR_CODES, &frame["code"])
}
