//! Those who send valid frames as fast as they are taken.

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, join};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::Target;
use super::raw::{DEADLINE, Heard, RawSocket, heard, open};

/// At each gateway.
const SOCKETS: usize = 3;
/// Messages that go out with one flush.
const VOLLEY: u32 = 16;
/// Messages that may be unanswered: more than any buffer on the way takes, and few enough to be
/// answered in time when it is over.
const WINDOW: usize = 1_000;
const LAST: &str = "the last question";
/// What may be answered to a valid frame of a member.
const ANSWERS: [&str; 5] = ["ack", "message", "pong", "success", "typing"];
const REFUSALS: [&str; 2] = ["rate_limited", "unavailable"];

pub(super) async fn act(target: Target<'_>) -> Vec<String> {
    let flooding = join_all((0..SOCKETS).map(|number| flood(target, number)));
    flooding.await.into_iter().flatten().collect()
}

/// What was wrong, if anything was.
async fn flood(target: Target<'_>, number: usize) -> Option<String> {
    let socket = match open(target, Some(&target.villains.talker)).await {
        Ok(socket) => socket,
        Err(error) => return Some(format!("{error:#}")),
    };
    let over = target.until + DEADLINE;
    match timeout_at(over, talk(socket, target, number)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("to a flood: {error:#}")),
        Err(_) => Some("the last frame of a flood was not answered in time".to_owned()),
    }
}

async fn talk(socket: RawSocket, target: Target<'_>, number: usize) -> anyhow::Result<()> {
    let (mut to, mut from) = socket.split();
    let window = Semaphore::new(WINDOW);
    let talking = async {
        let mut count = 0;
        while let Ok(space) = timeout_at(target.until, window.acquire_many(VOLLEY)).await {
            space?.forget();
            for frame in volley(target.villains.own_room, number, &mut count) {
                to.feed(Message::text(frame.to_string())).await?;
            }
            timeout(DEADLINE, to.flush()).await??;
        }
        to.send(Message::text(json!({"type": "ping", "ref": LAST}).to_string())).await?;
        anyhow::Ok(())
    };
    let listening = async {
        loop {
            match heard(from.next().await)? {
                Some(Heard::Frame(frame)) if frame["ref"] == LAST => return Ok(()),
                Some(Heard::Frame(frame)) => {
                    anyhow::ensure!(is_allowed(&frame), "{frame}");
                    window.add_permits(usize::from(frame["ref"].is_string()));
                }
                Some(Heard::End(Some(4429) | None)) => return Ok(()),
                Some(Heard::End(Some(code))) => anyhow::bail!("close code {code}"),
                None => {}
            }
        }
    };
    // Who is cut cannot send any more, which is as it should be.
    let (_, listened) = join!(talking, listening);
    listened
}

/// Mostly messages, and one of everything else.
fn volley(room: i64, number: usize, count: &mut usize) -> Vec<Value> {
    let mut frames = vec![
        json!({"type": "subscribe", "room_id": room}),
        json!({"type": "typing", "room_id": room}),
        json!({"type": "ping"}),
    ];
    frames.extend((0..VOLLEY).map(|_| {
        *count += 1;
        json!({"type": "send_message", "room_id": room, "content": "flood", "ref": format!("{number}-{count}")})
    }));
    frames
}

fn is_allowed(frame: &Value) -> bool {
    let is_one_of =
        |known: &[&str], value: &Value| value.as_str().is_some_and(|value| known.contains(&value));
    is_one_of(&ANSWERS, &frame["type"])
        || frame["type"] == "error" && is_one_of(&REFUSALS, &frame["code"])
}
