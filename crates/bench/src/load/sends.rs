//! Closed loop: senders with so many messages in flight each, who wait for acks, and a few
//! subscribers who see everything.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::CONTENT;
use crate::api::{Api, Circle, Person};
use crate::stats::Latencies;
use crate::usage::Window;
use crate::wire::{CountingSocket, Socket, encode};

/// Messages of one sender that are not acknowledged yet.
const IN_FLIGHT: usize = 16;
const SUBSCRIBERS: usize = 2;
/// How long the last event may take to arrive.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Before a sender goes on who was told to come later.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Who sends where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sends<'a> {
    pub(crate) api: &'a Api,
    /// One socket each.
    pub(crate) senders: &'a [Person],
    /// All senders are members of all of them.
    pub(crate) rooms: &'a [i64],
}

/// What senders have seen.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Acknowledged while it counted.
    pub(crate) acked: u64,
    /// From send to ack.
    pub(crate) latencies: Latencies,
    /// Answered with `unavailable` at any time, as when a disk stands still for longer than a send
    /// may take. Whether the message was stored is not known then.
    pub(crate) refused: u64,
    /// Sent at any time.
    sent: u64,
}

/// What a send was answered with, by its place in flight.
#[derive(Debug, PartialEq)]
enum Answer {
    Acknowledged(usize),
    Refused(usize),
}

/// Senders and subscribers whose sockets are open.
pub(crate) struct Ready {
    senders: Vec<(Socket, Rounds)>,
    subscribers: Vec<CountingSocket>,
}

/// The rooms of a sender, again and again.
struct Rounds {
    rooms: Arc<[i64]>,
    next: usize,
}

impl Sends<'_> {
    /// Opens all sockets and subscribes.
    pub(crate) async fn prepare(self) -> anyhow::Result<Ready> {
        let rooms: Arc<[i64]> = self.rooms.into();
        let mut senders = Vec::new();
        for (number, person) in self.senders.iter().enumerate() {
            let socket = self.open(number, person).await?;
            // They begin at different rooms.
            let next = number * rooms.len() / self.senders.len();
            senders.push((socket, Rounds { rooms: rooms.clone(), next }));
        }
        let mut subscribers = Vec::new();
        for (number, person) in self.senders.iter().take(SUBSCRIBERS).enumerate() {
            let mut socket = self.open(number, person).await?;
            socket.subscribe(self.rooms).await?;
            subscribers.push(socket.into_counting()?);
        }
        Ok(Ready { senders, subscribers })
    }

    async fn open(self, number: usize, person: &Person) -> anyhow::Result<Socket> {
        let mut socket = self.api.door(number).open(None, Some(&person.token)).await?;
        socket.next().await.context("no welcome")?;
        Ok(socket)
    }
}

impl Ready {
    /// Sends until the window ends, and then waits until everything was acknowledged and seen.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let (mut senders, mut watchers) = (JoinSet::new(), JoinSet::new());
        let mut seen = Vec::new();
        for socket in self.subscribers {
            let count = Arc::new(AtomicU64::new(0));
            seen.push(count.clone());
            watchers.spawn(count_forever(socket, count));
        }
        for (socket, rounds) in self.senders {
            senders.spawn(send(socket, rounds, window));
        }
        let mut sum = Tally { acked: 0, latencies: Latencies::new()?, refused: 0, sent: 0 };
        while let Some(tally) = senders.join_next().await {
            let tally = tally?.context("a sender")?;
            sum.acked += tally.acked;
            sum.refused += tally.refused;
            sum.sent += tally.sent;
            sum.latencies.add(&tally.latencies)?;
        }
        wait_until_seen(&seen, sum.sent - sum.refused..=sum.sent, &mut watchers).await?;
        Ok(sum)
    }
}

async fn send(mut socket: Socket, mut rounds: Rounds, window: Window) -> anyhow::Result<Tally> {
    let mut tally = Tally { acked: 0, latencies: Latencies::new()?, refused: 0, sent: 0 };
    let mut sent_at = [Instant::now(); IN_FLIGHT];
    let mut free: Vec<usize> = (0..IN_FLIGHT).collect();
    let mut frames = Vec::new();
    loop {
        let now = Instant::now();
        if now < window.to {
            for slot in free.drain(..) {
                encode(rounds.next_frame(slot).as_bytes(), &mut frames);
                sent_at[slot] = now;
                tally.sent += 1;
            }
            socket.write(&frames).await?;
            frames.clear();
        }
        if free.len() == IN_FLIGHT {
            return Ok(tally);
        }
        socket.fill().await?;
        let now = Instant::now();
        let mut is_refused = false;
        while let Some(text) = socket.take()? {
            let slot = match answer_of(&text)? {
                Answer::Acknowledged(slot) => {
                    if window.contains(now) {
                        tally.acked += 1;
                        tally.latencies.record(now - sent_at[slot]);
                    }
                    slot
                }
                Answer::Refused(slot) => {
                    tally.refused += 1;
                    is_refused = true;
                    slot
                }
            };
            free.push(slot);
        }
        if is_refused {
            sleep(REFUSED_PAUSE).await;
        }
    }
}

impl Rounds {
    /// A message that is acknowledged with the number of its place in flight.
    fn next_frame(&mut self, slot: usize) -> String {
        let room = self.rooms[self.next % self.rooms.len()];
        self.next += 1;
        format!(
            r#"{{"type":"send_message","room_id":{room},"content":"{CONTENT}","ref":"{slot}"}}"#
        )
    }
}

fn answer_of(text: &[u8]) -> anyhow::Result<Answer> {
    // The gateway writes acks like this; any other order of members is as good, and only slower to
    // read.
    if let Some(rest) = text.strip_prefix(br#"{"type":"ack","ref":""#) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if rest.get(digits) == Some(&b'"') {
            let slot = std::str::from_utf8(&rest[..digits])?.parse()?;
            return Ok(Answer::Acknowledged(within_flight(slot)?));
        }
    }
    let frame: Value = serde_json::from_slice(text)?;
    match (frame["type"].as_str(), frame["code"].as_str(), frame["ref"].as_str()) {
        (Some("ack"), _, Some(slot)) => Ok(Answer::Acknowledged(within_flight(slot.parse()?)?)),
        (Some("error"), Some("unavailable"), Some(slot)) => {
            Ok(Answer::Refused(within_flight(slot.parse()?)?))
        }
        _ => bail!("a send was answered with {frame}"),
    }
}

fn within_flight(slot: usize) -> anyhow::Result<usize> {
    ensure!(slot < IN_FLIGHT, "an answer to a send that was none: {slot}");
    Ok(slot)
}

/// Ends with an error, or when it is dropped.
async fn count_forever(mut socket: CountingSocket, count: Arc<AtomicU64>) -> anyhow::Error {
    loop {
        match socket.read().await {
            Ok(texts) => count.fetch_add(texts, Ordering::Relaxed),
            Err(error) => return error.context("a subscriber"),
        };
    }
}

async fn wait_until_seen(
    seen: &[Arc<AtomicU64>],
    expected: RangeInclusive<u64>,
    watchers: &mut JoinSet<anyhow::Error>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let counts: Vec<u64> = seen.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        if counts.iter().all(|count| expected.contains(count)) {
            return Ok(());
        }
        if let Some(ended) = watchers.try_join_next() {
            return Err(ended?);
        }
        ensure!(
            begin.elapsed() < DRAIN_DEADLINE,
            "of {expected:?} messages the subscribers have seen {counts:?}"
        );
        sleep(POLL_PAUSE).await;
    }
}

/// Has the owner of a room say so many things in it, in order. Returns when all of it is
/// acknowledged.
pub(crate) async fn fill_room(api: &Api, circle: &Circle, count: usize) -> anyhow::Result<()> {
    let mut socket = Sends { api, senders: &circle.members, rooms: &[circle.room] }
        .open(0, &circle.members[0])
        .await?;
    let mut rounds = Rounds { rooms: [circle.room].into(), next: 0 };
    let mut left = count;
    while left > 0 {
        let some = left.min(IN_FLIGHT);
        let mut frames = Vec::new();
        (0..some).for_each(|slot| encode(rounds.next_frame(slot).as_bytes(), &mut frames));
        socket.write(&frames).await?;
        for _ in 0..some {
            let answer = answer_of(&socket.next().await?)?;
            ensure!(
                matches!(answer, Answer::Acknowledged(_)),
                "a room could not be filled: {answer:?}"
            );
        }
        left -= some;
    }
    Ok(())
}

/// The number of the last event in a circle's room.
pub(crate) async fn head_of(api: &Api, circle: &Circle) -> anyhow::Result<i64> {
    let sends = Sends { api, senders: &circle.members, rooms: &[circle.room] };
    let heads = sends.open(0, &circle.members[0]).await?.subscribe(sends.rooms).await?;
    heads.first().copied().context("a subscription has a head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_read_whatever_the_order_of_its_members() {
        let usual = br#"{"type":"ack","ref":"13","room_id":5,"message_id":1,"seq":1}"#;
        assert_eq!(answer_of(usual).unwrap(), Answer::Acknowledged(13));
        let other = br#"{"seq": 1, "ref": "7", "type": "ack"}"#;
        assert_eq!(answer_of(other).unwrap(), Answer::Acknowledged(7));
    }

    #[test]
    fn a_send_may_be_put_off_and_any_other_answer_is_an_error() {
        let later = br#"{"type":"error","error":"Later","code":"unavailable","ref":"3"}"#;
        assert_eq!(answer_of(later).unwrap(), Answer::Refused(3));
        let refused = br#"{"type":"error","error":"No","code":"not_a_member","ref":"3"}"#;
        assert!(answer_of(refused).unwrap_err().to_string().contains("not_a_member"));
        assert!(answer_of(br#"{"type":"ack","ref":"16"}"#).is_err());
        assert!(answer_of(b"not JSON").is_err());
    }

    #[test]
    fn a_sender_goes_from_room_to_room() {
        let mut rounds = Rounds { rooms: [5, 6, 7].into(), next: 2 };
        let frames: Vec<Value> =
            (0..4).map(|slot| serde_json::from_str(&rounds.next_frame(slot)).unwrap()).collect();
        let rooms: Vec<i64> = frames.iter().filter_map(|frame| frame["room_id"].as_i64()).collect();
        assert_eq!(rooms, [7, 5, 6, 7]);
        assert_eq!(frames[3]["ref"], "3");
        assert_eq!(frames[3]["content"].as_str().unwrap().len(), 128);
    }
}
