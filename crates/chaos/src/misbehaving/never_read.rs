//! Clients that ask for all events and read nothing.

use std::iter;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, join};
use parlance_client::{Message, WebSocket};
use serde_json::json;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::raw::{TIMEOUT, open};
use super::target::Target;
use crate::connection::{Received, receive};

/// Connections at each gateway.
const CONNECTIONS: usize = 4;
/// The codes for a slow consumer and for a normal end.
const ALLOWED_CODES: [u16; 2] = [4429, 1000];
/// The length of a message, the longest that is allowed.
const CONTENT_BYTES: usize = 16_384;
const SEND_INTERVAL: Duration = Duration::from_millis(5);
/// How often each connection asks for all events of the busy rooms.
const REPETITIONS: usize = 5;

pub(super) async fn run(target: Target<'_>) -> Vec<String> {
    let clients = join_all((0..CONNECTIONS).map(|_| never_read(target)));
    let (checked, ()) = join!(clients, fill_own_room(target));
    let errors = checked.into_iter().filter_map(Result::err);
    errors.map(|error| format!("to a client that did not read: {error:#}")).collect()
}

/// A connection that is not read must live on, or end as a slow consumer.
async fn never_read(target: Target<'_>) -> anyhow::Result<()> {
    let mut socket = open(target, Some(&target.accounts.reader)).await?;
    ask_repeatedly(&mut socket, target).await;
    timeout(TIMEOUT, read_everything(socket)).await.context("neither an answer nor the end")?
}

/// Asks until the gateway takes no more, then waits without reading.
async fn ask_repeatedly(socket: &mut WebSocket, target: Target<'_>) {
    let rooms = &target.accounts.busy_rooms;
    let replays = rooms.iter().flat_map(|room| {
        let subscribe = json!({"type": "subscribe", "room_id": room, "after_seq": 0});
        [json!({"type": "unsubscribe", "room_id": room}), subscribe]
    });
    let asking = async {
        let own = json!({"type": "subscribe", "room_id": target.accounts.own_room});
        let replays = replays.cycle().take(2 * rooms.len() * REPETITIONS);
        for frame in iter::once(own).chain(replays) {
            let message = Message::text(frame.to_string());
            if socket.stream().send(message).await.is_err() {
                return;
            }
        }
    };
    let _ = timeout_at(target.until, asking).await;
    sleep_until(target.until).await;
}

/// Reads until a last question is answered or the connection ends.
async fn read_everything(mut socket: WebSocket) -> anyhow::Result<()> {
    const LAST: &str = "last";
    let (mut to_gateway, mut from_gateway) = socket.stream().split();
    let asking = async {
        // An error means that the connection has ended, which the reading finds.
        let ping = json!({"type": "ping", "ref": LAST}).to_string();
        let _ = to_gateway.send(Message::text(ping)).await;
    };
    let reading = async {
        loop {
            match receive(&mut from_gateway).await? {
                Received::Frame(frame) if frame["ref"] == LAST => return Ok(()),
                Received::Frame(_) => {}
                Received::Closed(code) => {
                    let is_right = code.is_none_or(|code| ALLOWED_CODES.contains(&code));
                    ensure!(is_right, "close code {code:?}");
                    return Ok(());
                }
            }
        }
    };
    join!(reading, asking).0
}

/// Sends long messages to the own room, so that there is much to read.
async fn fill_own_room(target: Target<'_>) {
    let content = "x".repeat(CONTENT_BYTES);
    let room = target.accounts.own_room;
    let frame = json!({"type": "send_message", "room_id": room, "content": content}).to_string();
    let sending = async {
        let mut socket = open(target, Some(&target.accounts.sender)).await?;
        loop {
            socket.stream().send(Message::text(frame.as_str())).await?;
            sleep(SEND_INTERVAL).await;
        }
    };
    // The answers do not matter, nor why the connection ends.
    let _: Result<anyhow::Result<()>, _> = timeout_at(target.until, sending).await;
}
