//! Those who ask for everything and read nothing.

use std::iter;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, join};
use serde_json::json;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::Target;
use super::raw::{DEADLINE, Heard, RawSocket, heard, open};

/// At each gateway.
const SOCKETS: usize = 4;
/// Close codes for who is too slow, and for who has said goodbye.
const ALLOWED: [u16; 2] = [4429, 1000];
/// As long as a message may be.
const NOISE: usize = 16_384;
/// That everything is asked for.
const TIMES: usize = 5;
const NOISE_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn act(target: Target<'_>) -> Vec<String> {
    let listening = join_all((0..SOCKETS).map(|_| be_deaf(target)));
    let (heard, ()) = join!(listening, make_noise(target));
    heard.into_iter().flatten().collect()
}

/// What was wrong, if anything was: a socket that is not read either lives on, or ends as too slow.
async fn be_deaf(target: Target<'_>) -> Option<String> {
    let mut socket = match open(target, Some(&target.villains.listener)).await {
        Ok(socket) => socket,
        Err(error) => return Some(format!("{error:#}")),
    };
    ask_again_and_again(&mut socket, target).await;
    match timeout(DEADLINE, listen_after_all(socket)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("to who had not read: {error:#}")),
        Err(_) => Some("who reads again gets neither an answer nor the end".to_owned()),
    }
}

/// Until the gateway takes no more, and then waits in silence.
async fn ask_again_and_again(socket: &mut RawSocket, target: Target<'_>) {
    let rooms = &target.villains.busy_rooms;
    let everything = rooms.iter().flat_map(|room| {
        let subscribe = json!({"type": "subscribe", "room_id": room, "after_seq": 0});
        [json!({"type": "unsubscribe", "room_id": room}), subscribe]
    });
    let asking = async {
        let noise = json!({"type": "subscribe", "room_id": target.villains.own_room});
        for frame in iter::once(noise).chain(everything.cycle().take(2 * rooms.len() * TIMES)) {
            if socket.send(Message::text(frame.to_string())).await.is_err() {
                return;
            }
        }
    };
    let _ = timeout_at(target.until, asking).await;
    sleep_until(target.until).await;
}

/// Reads everything there is, until a last question is answered or the connection ends.
async fn listen_after_all(socket: RawSocket) -> anyhow::Result<()> {
    const LAST: &str = "the last question";
    let (mut to, mut from) = socket.split();
    let asking = async {
        // If it cannot be asked, the connection has ended.
        let _ = to.send(Message::text(json!({"type": "ping", "ref": LAST}).to_string())).await;
    };
    let listening = async {
        loop {
            match heard(from.next().await)? {
                Some(Heard::Frame(frame)) if frame["ref"] == LAST => return Ok(()),
                Some(Heard::End(Some(code))) => {
                    ensure!(ALLOWED.contains(&code), "close code {code}");
                    return Ok(());
                }
                Some(Heard::End(None)) => return Ok(()),
                Some(Heard::Frame(_)) | None => {}
            }
        }
    };
    join!(listening, asking).0
}

/// Says much in the villains' own room, so that there is something not to be read.
async fn make_noise(target: Target<'_>) {
    let noise = "x".repeat(NOISE);
    let frame =
        json!({"type": "send_message", "room_id": target.villains.own_room, "content": noise})
            .to_string();
    let talking = async {
        let mut socket = open(target, Some(&target.villains.talker)).await?;
        loop {
            socket.send(Message::text(frame.as_str())).await?;
            sleep(NOISE_PAUSE).await;
        }
    };
    // What it is told meanwhile is of no interest, nor why it ends.
    let _: Result<anyhow::Result<()>, _> = timeout_at(target.until, talking).await;
}
