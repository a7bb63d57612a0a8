//! Open loop: each message is sent when it is due, whether or not earlier ones have arrived, and
//! its latency counts from then. The percentiles contain the time that a stalled server makes later
//! messages wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_core::Clock;
use parlance_measure::Latencies;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use super::arrivals::wait_for;
use super::pacer::{self, Schedule, Sender};
use crate::setup::{Group, Setup};
use crate::usage::Window;
use crate::ws::Socket;

/// Sockets that are being opened.
const CONCURRENCY: usize = 32;
/// Bounds the time from the last send to the last delivery. A server that needs longer is too slow
/// for the rate.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// All members of some groups subscribe, and the owner of each sends now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) groups: &'a [Group],
    /// Messages a second in all rooms together.
    pub(crate) rate: u32,
}

/// What was seen of the messages that were due within the window.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    /// From when a message was due until it was delivered.
    pub(crate) end_to_end: Latencies,
    /// From the message's `created_at`, which Postgres sets before the commit, until it was
    /// delivered.
    pub(crate) from_commit: Latencies,
    /// From when a message was due until it was sent: the part of the load itself.
    pub(crate) lateness: Latencies,
}

/// Sockets that are open and subscribed.
pub(crate) struct Ready {
    subscribers: Vec<Socket>,
    senders: Vec<Sender>,
    members: u64,
    rate: u32,
}

impl OpenLoop<'_> {
    /// Opens a socket for each member, and one more for each sender.
    pub(crate) async fn prepare(self) -> anyhow::Result<Ready> {
        let members = self.groups.iter().flat_map(|group| {
            group.members.iter().map(|member| (group.room, member.token.as_str()))
        });
        let subscribing =
            stream::iter(members.enumerate()).map(|(number, (room, token))| async move {
                let mut socket = self.setup.endpoint(number).connect(None, Some(token)).await?;
                socket.subscribe(room, None).await?;
                anyhow::Ok(socket)
            });
        let subscribers = subscribing.buffered(CONCURRENCY).try_collect().await?;
        let mut senders = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let endpoint = self.setup.endpoint(number);
            let socket = endpoint.connect(None, Some(&group.members[0].token)).await?;
            senders.push(Sender::new(socket, group.room)?);
        }
        let members = self.groups.first().map_or(0, |group| group.members.len() as u64);
        Ok(Ready { subscribers, senders, members, rate: self.rate })
    }
}

impl Ready {
    /// Sends at the rate until the window ends, and waits until everything has arrived.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let recorder = Arc::new(Recorder::new(Instant::now(), window));
        let mut subscribers = JoinSet::new();
        for socket in self.subscribers {
            subscribers.spawn(receive(socket, recorder.clone()));
        }
        let schedule = Schedule { begin: recorder.begin, rate: self.rate, window };
        let sent = pacer::start(self.senders, schedule)?;
        let running = async {
            let mut sent = sent.await.context("the pacer has ended")??;
            let expected = sent.messages * self.members;
            wait_for(&recorder.received, expected..=expected, DRAIN_TIMEOUT).await.map_err(
                |error| match sent.senders.iter_mut().find_map(Sender::received) {
                    Some(text) => error.context(format!("a sender received {text}")),
                    None => error,
                },
            )?;
            anyhow::Ok(sent.lateness)
        };
        let lateness = tokio::select! {
            lateness = running => lateness?,
            Some(ended) = subscribers.join_next() => return Err(ended?),
        };
        subscribers.shutdown().await;
        let tally = std::mem::take(&mut *recorder.tally());
        Ok(Tally { lateness, ..tally })
    }
}

/// Returns the error that ends a subscription.
async fn receive(mut socket: Socket, recorder: Arc<Recorder>) -> anyhow::Error {
    loop {
        let recorded = match socket.next().await {
            Ok(text) => recorder.record(&text),
            Err(error) => Err(error.context("a subscriber")),
        };
        if let Err(error) = recorded {
            return error;
        }
    }
}

/// Records the deliveries to all subscribers.
struct Recorder {
    /// When the first message is due.
    begin: Instant,
    window: Window,
    clock: Clock,
    received: AtomicU64,
    tally: Mutex<Tally>,
}

/// The members of an event that are needed.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    content: &'a str,
    created_at: &'a str,
}

impl Recorder {
    fn new(begin: Instant, window: Window) -> Self {
        let (received, tally) = (AtomicU64::new(0), Mutex::default());
        Self { begin, window, clock: Clock::system(), received, tally }
    }

    fn record(&self, text: &str) -> anyhow::Result<()> {
        let (now, wall) = (Instant::now(), self.clock.now());
        let event: Event<'_> = serde_json::from_str(text)?;
        let (Some(message), "message") = (event.message, event.kind) else {
            anyhow::bail!("a subscriber received {text}")
        };
        let due = self.begin + Duration::from_nanos(message.content.trim_end().parse()?);
        if self.window.contains(due.into()) {
            let created_at = OffsetDateTime::parse(message.created_at, &Rfc3339)?;
            let since_commit = Duration::try_from(OffsetDateTime::from(wall) - created_at);
            let mut tally = self.tally();
            tally.deliveries += 1;
            tally.end_to_end.record(now - due);
            // Negative if the clock was set back in between.
            tally.from_commit.record(since_commit.unwrap_or_default());
        }
        self.received.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(begin: Instant) -> Recorder {
        let mut window = Window::after(Duration::ZERO, Duration::from_secs(60));
        window.from -= Duration::from_secs(10);
        Recorder::new(begin, window)
    }

    #[tokio::test]
    async fn latency_counts_from_when_a_message_was_due() {
        let recorder = recorder(Instant::now() - Duration::from_secs(5));
        let event = r#"{"type":"message","message":{"id":1,"content":"2000000000 ",
                        "created_at":"2020-01-01T00:00:00.000001Z"}}"#;
        recorder.record(event).unwrap();
        let tally = recorder.tally();
        let millis = tally.end_to_end.percentiles().unwrap().p50;
        assert!((3_000.0..4_000.0).contains(&millis), "{millis}");
        assert!(tally.from_commit.percentiles().unwrap().p50 > 100_000.0);
        assert_eq!(tally.deliveries, 1);
    }

    #[tokio::test]
    async fn an_event_other_than_a_message_is_an_error() {
        let event = r#"{"type":"unsubscribed","room_id":1,"reason":"removed"}"#;
        assert!(recorder(Instant::now()).record(event).is_err());
    }
}
