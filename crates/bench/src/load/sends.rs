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

use super::CONTENT;
use super::arrivals::{count_into, wait_for};
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

/// Senders and rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sends<'a> {
    pub(crate) setup: &'a Setup,
    /// Each has one socket.
    pub(crate) senders: &'a [Account],
    /// Every sender is a member of every room.
    pub(crate) rooms: &'a [i64],
}

/// What the senders have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages that were acknowledged within the window.
    pub(crate) acked: u64,
    /// From send to ack.
    pub(crate) latencies: Latencies,
    /// Messages that were answered with `unavailable` at any time, as when a disk stalls for longer
    /// than the timeout of a send. Such a message may or may not be stored.
    pub(crate) unavailable: u64,
    /// Messages that were sent at any time.
    sent: u64,
}

/// The answer to the message in this slot of those in flight.
#[derive(Debug, PartialEq)]
enum Answer {
    Ack(usize),
    Unavailable(usize),
}

/// Sockets that are open and subscribed.
pub(crate) struct Ready {
    senders: Vec<(Socket, Rooms)>,
    subscribers: Vec<CountingSocket>,
}

/// The rooms that a sender sends to, in turn.
struct Rooms {
    ids: Arc<[i64]>,
    next: usize,
}

impl Sends<'_> {
    /// Opens all sockets and subscribes.
    pub(crate) async fn prepare(self) -> anyhow::Result<Ready> {
        let ids: Arc<[i64]> = self.rooms.into();
        let mut senders = Vec::new();
        for (number, account) in self.senders.iter().enumerate() {
            let socket = self.connect(number, account).await?;
            // The senders begin at different rooms.
            let next = number * ids.len() / self.senders.len();
            senders.push((socket, Rooms { ids: ids.clone(), next }));
        }
        let mut subscribers = Vec::new();
        for (number, account) in self.senders.iter().take(SUBSCRIBERS).enumerate() {
            let mut socket = self.connect(number, account).await?;
            for room in self.rooms {
                socket.subscribe(*room, None).await?;
            }
            subscribers.push(socket.into_counting());
        }
        Ok(Ready { senders, subscribers })
    }

    async fn connect(self, number: usize, account: &Account) -> anyhow::Result<Socket> {
        self.setup.endpoint(number).connect(None, Some(&account.token)).await
    }
}

impl Ready {
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
    fn next_frame(&mut self, slot: usize) -> String {
        let room = self.ids[self.next % self.ids.len()];
        self.next += 1;
        format!(
            r#"{{"type":"send_message","room_id":{room},"content":"{CONTENT}","ref":"{slot}"}}"#
        )
    }
}

fn parse_answer(text: &str) -> anyhow::Result<Answer> {
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
    let sends = Sends { setup, senders: &group.members, rooms: &[group.room] };
    let mut socket = sends.connect(0, &group.members[0]).await?;
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
    let mut socket = setup.endpoint(0).connect(None, Some(&group.members[0].token)).await?;
    let (answer, _) = socket.subscribe(group.room, None).await?;
    answer["head_seq"].as_i64().context("an answer without head_seq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_recognised_in_any_order_of_its_members() {
        let usual = r#"{"type":"ack","ref":"13","room_id":5,"message_id":1,"seq":1}"#;
        assert_eq!(parse_answer(usual).unwrap(), Answer::Ack(13));
        let other = r#"{"seq": 1, "ref": "7", "type": "ack"}"#;
        assert_eq!(parse_answer(other).unwrap(), Answer::Ack(7));
    }

    #[test]
    fn unavailable_is_counted_and_any_other_refusal_is_an_error() {
        let later = r#"{"type":"error","error":"Later","code":"unavailable","ref":"3"}"#;
        assert_eq!(parse_answer(later).unwrap(), Answer::Unavailable(3));
        let refused = r#"{"type":"error","error":"No","code":"not_a_member","ref":"3"}"#;
        assert!(parse_answer(refused).unwrap_err().to_string().contains("not_a_member"));
        assert!(parse_answer(r#"{"type":"ack","ref":"16"}"#).is_err());
        assert!(parse_answer("not JSON").is_err());
    }

    #[test]
    fn a_sender_uses_its_rooms_in_turn() {
        let mut rooms = Rooms { ids: [5, 6, 7].into(), next: 2 };
        let frames: Vec<Value> =
            (0..4).map(|slot| serde_json::from_str(&rooms.next_frame(slot)).unwrap()).collect();
        let ids: Vec<i64> = frames.iter().filter_map(|frame| frame["room_id"].as_i64()).collect();
        assert_eq!(ids, [7, 5, 6, 7]);
        assert_eq!(frames[3]["ref"], "3");
        assert_eq!(frames[3]["content"].as_str().unwrap().len(), 128);
    }
}
