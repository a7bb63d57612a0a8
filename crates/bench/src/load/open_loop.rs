//! Open loop: each message is sent when it is due, whether or not earlier ones have arrived, and
//! its latency counts from then. The percentiles contain the time that a stalled server makes later
//! messages wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_core::Clock;
use parlance_measure::Latencies;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::arrivals::wait_for;
use super::pacer::{Schedule, Sender};
use crate::setup::{Group, Setup};
use crate::usage::Window;
use crate::ws::Socket;

/// Bounds the time from the last send to the last delivery. A server that needs longer is too slow
/// for the rate.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// What was seen of the messages that were due within the window.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of deliveries.
    pub deliveries: u64,
    /// From when a message was due until it was delivered.
    pub end_to_end: Latencies,
    /// From the message's `created_at`, which Postgres sets before the commit, until it was
    /// delivered.
    pub from_commit: Latencies,
    /// From when a message was due until it was sent: the part of the load itself.
    pub lateness: Latencies,
}

/// Sockets of all members of some groups, and a sender for each group.
pub(crate) struct Ready {
    subscribers: Vec<Socket>,
    senders: Vec<Sender>,
    members: u64,
    /// Messages a second in all rooms together.
    rate: u32,
}

impl Ready {
    /// Opens a socket for each member, and one more for each owner, which sends.
    pub(crate) async fn connect(
        setup: &Setup,
        groups: &[Group],
        rate: u32,
    ) -> anyhow::Result<Self> {
        let members = groups
            .iter()
            .flat_map(|group| group.members.iter().map(move |member| (group.room, member)));
        let subscribers = setup.subscribe(members).await?;
        let mut senders = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let socket = setup.connect(number, &group.members[0]).await?;
            senders.push((socket, group.room));
        }
        let members = groups.first().map_or(0, |group| group.members.len() as u64);
        Ok(Self { subscribers, senders, members, rate })
    }

    /// Sends at the rate until the window ends, and waits until everything has arrived.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let recorder = Arc::new(Recorder::new(Instant::now(), window));
        let mut subscribers = JoinSet::new();
        for socket in self.subscribers {
            subscribers.spawn(receive(socket, recorder.clone()));
        }
        let schedule = Schedule { begin: recorder.begin, rate: self.rate, window };
        let running = async {
            let mut sent = schedule.send(self.senders).await?;
            let expected = sent.messages * self.members;
            wait_for(&recorder.received, expected..=expected, DRAIN_TIMEOUT).await.map_err(
                |error| match sent.senders.iter_mut().find_map(received) {
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

/// Returns a text that the gateway has sent to a sender: an error.
fn received((socket, _): &mut Sender) -> Option<Utf8Bytes> {
    socket.try_next().ok().flatten()
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
pub struct Recorder {
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
    /// Returns a recorder for messages of which the first is due at `begin`.
    pub fn new(begin: Instant, window: Window) -> Self {
        let (received, tally) = (AtomicU64::new(0), Mutex::default());
        Self { begin, window, clock: Clock::system(), received, tally }
    }

    /// Records an event. Any other event than a message is an error.
    pub fn record(&self, text: &str) -> anyhow::Result<()> {
        let (now, wall) = (Instant::now(), self.clock.now());
        let event: Event<'_> = serde_json::from_str(text)?;
        let (Some(message), "message") = (event.message, event.kind) else {
            anyhow::bail!("a subscriber received {text}")
        };
        let due = self.begin + Duration::from_nanos(message.content.trim_end().parse()?);
        if self.window.contains(due) {
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

    /// Returns what was recorded so far.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
