//! Closed loop of messages: each sender keeps a fixed number of messages in flight, and two
//! subscribers receive everything.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use parlance_client::Account;
use parlance_measure::Latencies;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::arrivals::{count_into, wait_for};
use super::message::CONTENT;
use crate::setup::{Group, Setup};
use crate::usage::Window;
use crate::ws::{CountingSocket, Socket};

/// Messages of one sender that are not acknowledged yet.
const IN_FLIGHT: usize = 16;
const SUBSCRIBERS: usize = 2;
/// Bounds the time from the last ack to the last delivery.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// From an `unavailable` answer to the sender's next message.
const UNAVAILABLE_BACKOFF: Duration = Duration::from_millis(100);

/// What the senders have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages that were acknowledged within the window.
    pub(crate) acked: u64,
    /// From send to ack.
    pub(crate) latencies: Latencies,
    /// Messages that were answered with `unavailable` at any time, as when a disk stalls for longer
    /// than the timeout of a send. The message may or may not be stored.
    pub(crate) unavailable: u64,
    /// Messages that were sent at any time.
    sent: u64,
}

/// The answer to the message in this slot of those in flight.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// The message is stored.
    Ack(usize),
    /// The message may or may not be stored.
    Unavailable(usize),
}

/// Sockets that are open and subscribed.
pub(crate) struct Ready {
    senders: Vec<(Socket, Rooms)>,
    subscribers: Vec<CountingSocket>,
}

/// The rooms that a sender sends to, in turn.
pub struct Rooms {
    /// The ids of the rooms.
    pub ids: Arc<[i64]>,
    /// The number of the next room; beyond the last one it starts again.
    pub next: usize,
}

impl Ready {
    /// Opens a socket for each account, which is a member of all rooms, and the subscribers.
    pub(crate) async fn connect(
        setup: &Setup,
        accounts: &[Account],
        rooms: &[i64],
    ) -> anyhow::Result<Self> {
        let ids: Arc<[i64]> = rooms.into();
        let (mut senders, mut subscribers) = (Vec::new(), Vec::new());
        for (number, account) in accounts.iter().enumerate() {
            // The senders begin at different rooms.
            let next = number * ids.len() / accounts.len();
            senders.push((setup.connect(number, account).await?, Rooms { ids: ids.clone(), next }));
        }
        for (number, account) in accounts.iter().take(SUBSCRIBERS).enumerate() {
            let mut socket = setup.connect(number, account).await?;
            for room in rooms {
                socket.subscribe(*room, None).await?;
            }
            subscribers.push(socket.into_counting());
        }
        Ok(Self { senders, subscribers })
    }

    /// Sends until the window ends, and then waits until everything is acknowledged and delivered.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let (mut senders, mut subscribers) = (JoinSet::new(), JoinSet::new());
        let mut received = Vec::new();
        for socket in self.subscribers {
            let count = Arc::new(AtomicU64::new(0));
            subscribers.spawn(count_into(socket, count.clone()));
            received.push(count);
        }
        for (socket, rooms) in self.senders {
            senders.spawn(send(socket, rooms, window));
        }
        let mut sum = Tally::default();
        while let Some(tally) = senders.join_next().await {
            sum.merge(&tally?.context("a sender")?);
        }
        let expected = sum.sent - sum.unavailable..=sum.sent;
        let arriving = async {
            for count in &received {
                wait_for(count, expected.clone(), DRAIN_TIMEOUT).await?;
            }
            Ok(sum)
        };
        tokio::select! {
            sum = arriving => sum,
            Some(ended) = subscribers.join_next() => Err(ended?),
        }
    }
}

async fn send(mut socket: Socket, mut rooms: Rooms, window: Window) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut sent_at = [Instant::now(); IN_FLIGHT];
    let mut free_slots: Vec<usize> = (0..IN_FLIGHT).collect();
    loop {
        let now = Instant::now();
        if now < window.to {
            tally.sent += free_slots.len() as u64;
            free_slots.iter().for_each(|slot| sent_at[*slot] = now);
            socket.send(free_slots.drain(..).map(|slot| rooms.next_frame(slot))).await?;
        }
        if free_slots.len() == IN_FLIGHT {
            return Ok(tally);
        }
        let unavailable_before = tally.unavailable;
        let mut next = Some(socket.next().await?);
        let now = Instant::now();
        while let Some(text) = next {
            free_slots.push(match parse_answer(&text)? {
                Answer::Ack(slot) => {
                    if window.contains(now) {
                        tally.acked += 1;
                        tally.latencies.record(now - sent_at[slot]);
                    }
                    slot
                }
                Answer::Unavailable(slot) => {
                    tally.unavailable += 1;
                    slot
                }
            });
            next = socket.try_next()?;
        }
        if tally.unavailable > unavailable_before {
            sleep(UNAVAILABLE_BACKOFF).await;
        }
    }
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.acked += other.acked;
        self.unavailable += other.unavailable;
        self.sent += other.sent;
        self.latencies.merge(&other.latencies);
    }
}

impl Rooms {
    /// Returns a message to the next room. Its `ref` is its slot of those in flight.
    pub fn next_frame(&mut self, slot: usize) -> String {
        let room = self.ids[self.next % self.ids.len()];
        self.next += 1;
        format!(
            r#"{{"type":"send_message","room_id":{room},"content":"{CONTENT}","ref":"{slot}"}}"#
        )
    }
}

/// Parses the answer to a message. Any other error than `unavailable` fails the load.
pub fn parse_answer(text: &str) -> anyhow::Result<Answer> {
    // The gateway writes acks like this. JSON with another order of members is parsed below.
    let slot = text.strip_prefix(r#"{"type":"ack","ref":""#).and_then(|rest| rest.split_once('"'));
    if let Some((slot, _)) = slot {
        return Ok(Answer::Ack(parse_slot(slot)?));
    }
    let frame: Value = serde_json::from_str(text)?;
    match (frame["type"].as_str(), frame["code"].as_str(), frame["ref"].as_str()) {
        (Some("ack"), _, Some(slot)) => Ok(Answer::Ack(parse_slot(slot)?)),
        (Some("error"), Some("unavailable"), Some(slot)) => {
            Ok(Answer::Unavailable(parse_slot(slot)?))
        }
        _ => bail!("a send was answered with {frame}"),
    }
}

fn parse_slot(reference: &str) -> anyhow::Result<usize> {
    let slot = reference.parse()?;
    ensure!(slot < IN_FLIGHT, "an answer to a message that was not sent: {slot}");
    Ok(slot)
}

/// Sends messages as the owner of a room, in order. Returns when all are acknowledged.
pub(crate) async fn fill_room(setup: &Setup, group: &Group, count: usize) -> anyhow::Result<()> {
    let mut socket = setup.connect(0, &group.members[0]).await?;
    let mut rooms = Rooms { ids: [group.room].into(), next: 0 };
    let mut left = count;
    while left > 0 {
        let some = left.min(IN_FLIGHT);
        socket.send((0..some).map(|slot| rooms.next_frame(slot))).await?;
        for _ in 0..some {
            let answer = parse_answer(&socket.next().await?)?;
            ensure!(matches!(answer, Answer::Ack(_)), "cannot fill a room: {answer:?}");
        }
        left -= some;
    }
    Ok(())
}

/// Returns the `last_seq` of a group's room.
pub(crate) async fn last_seq(setup: &Setup, group: &Group) -> anyhow::Result<i64> {
    let mut socket = setup.connect(0, &group.members[0]).await?;
    let (answer, _) = socket.subscribe(group.room, None).await?;
    answer["head_seq"].as_i64().context("an answer without head_seq")
}
