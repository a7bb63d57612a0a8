//! Open loop: messages are sent when they are due, whatever became of those before, and times count
//! from when they were due. What a slow server makes others wait is not left out.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_core::Clock;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::{Api, Circle};
use crate::stats::Latencies;
use crate::usage::Window;
use crate::wire::{OutSocket, Socket, encode};

/// Sockets that are opened at once.
const AT_ONCE: usize = 32;
/// Beyond the window: a server that is too slow for the rate is given up.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);
const POLL_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a message.
const CONTENT_LENGTH: usize = 128;

/// Everybody in some rooms listens, and somebody in each says something now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop<'a> {
    pub(crate) api: &'a Api,
    pub(crate) circles: &'a [Circle],
    /// Messages a second, in all rooms together.
    pub(crate) rate: u32,
}

/// What was seen of the messages that were due while it counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    /// From when a message was due to its delivery.
    pub(crate) end_to_end: Latencies,
    /// From the time that Postgres gave a message, before it was committed, to its delivery.
    pub(crate) from_commit: Latencies,
    /// From when a message was due to when it was sent: what the load itself adds.
    pub(crate) lateness: Latencies,
}

/// Sockets that are open and subscribed.
pub(crate) struct Ready {
    subscribers: Vec<Socket>,
    /// Each with its room.
    senders: Senders,
    members: u64,
    rate: u32,
}

type Senders = Vec<(OutSocket, i64)>;
/// Messages, and those who sent them: their connections stay until the messages have arrived.
type Sent = (u64, Senders);

/// What all tasks share.
struct Course {
    /// When the first message is due.
    begin: Instant,
    window: Window,
    clock: Clock,
    seen: AtomicU64,
    tally: Mutex<Tally>,
}

impl OpenLoop<'_> {
    /// Opens a socket for everybody, and one more for each who talks.
    pub(crate) async fn prepare(self) -> anyhow::Result<Ready> {
        let everybody = self.circles.iter().flat_map(|circle| {
            circle.members.iter().map(|member| (circle.room, member.token.as_str()))
        });
        let subscribing =
            stream::iter(everybody.enumerate()).map(|(number, (room, token))| async move {
                let mut socket = self.api.door(number).open(None, Some(token)).await?;
                socket.subscribe(&[room]).await?;
                anyhow::Ok(socket)
            });
        let subscribers: Vec<Socket> = subscribing.buffered(AT_ONCE).try_collect().await?;
        let mut senders = Vec::new();
        for (number, circle) in self.circles.iter().enumerate() {
            let mut socket =
                self.api.door(number).open(None, Some(&circle.members[0].token)).await?;
            socket.next().await?;
            senders.push((socket.into_out()?, circle.room));
        }
        let members = self.circles.first().map_or(0, |circle| circle.members.len() as u64);
        Ok(Ready { subscribers, senders, members, rate: self.rate })
    }
}

impl Ready {
    /// Sends at the rate until the window ends, and waits until everything has arrived.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let course = Arc::new(Course {
            begin: Instant::now(),
            window,
            clock: Clock::system(),
            seen: AtomicU64::new(0),
            tally: Mutex::new(Tally::new()?),
        });
        let mut subscribing = JoinSet::new();
        for socket in self.subscribers {
            subscribing.spawn(listen(socket, course.clone()));
        }
        let (done, sent) = oneshot::channel();
        let (senders, rate, of_pacer) = (self.senders, self.rate, course.clone());
        // A thread of its own: the timers of tokio are right to a millisecond only.
        thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            let sent = send_when_due(senders, rate, &of_pacer, &done);
            // Nobody waits any more if this run was given up.
            let _ = done.send(sent);
        })?;
        let running = async {
            let (sent, mut senders) = sent.await.context("the pacer has ended")??;
            let seen = wait_until_seen(&course.seen, sent * self.members).await;
            seen.map_err(|error| match senders.iter_mut().find_map(|(socket, _)| socket.heard()) {
                Some(heard) => error.context(format!("a sender was told {heard}")),
                None => error,
            })
        };
        tokio::select! {
            complete = running => complete?,
            Some(ended) = subscribing.join_next() => return Err(ended?),
        }
        subscribing.shutdown().await;
        let tally = Tally::new()?;
        Ok(std::mem::replace(&mut *course.tally(), tally))
    }
}

/// Ends with an error, or when it is dropped.
async fn listen(mut socket: Socket, course: Arc<Course>) -> anyhow::Error {
    loop {
        match socket.next().await {
            Ok(text) => {
                if let Err(error) = course.note(&text) {
                    return error;
                }
            }
            Err(error) => return error.context("a subscriber"),
        }
    }
}

/// The number of messages that were sent, and who sent them. It never waits for a socket: what one
/// does not take is kept for the next try. It ends early when nobody waits for it any more.
fn send_when_due(
    mut senders: Senders,
    rate: u32,
    course: &Course,
    waiting: &oneshot::Sender<anyhow::Result<Sent>>,
) -> anyhow::Result<Sent> {
    let pause = Duration::from_secs(1) / rate.max(1);
    let mut frame = Vec::new();
    let mut sent = 0;
    loop {
        let due = course.begin + pause * u32::try_from(sent)?;
        if due >= course.window.to.into_std() || waiting.is_closed() {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = usize::try_from(sent)? % senders.len();
        let (socket, room) = &mut senders[index];
        frame.clear();
        encode(message(*room, due - course.begin).as_bytes(), &mut frame);
        socket.write(&frame)?;
        if course.window.contains(due.into()) {
            course.tally().lateness.record(due.elapsed());
        }
        sent += 1;
    }
    flush(&mut senders).context("a sender")?;
    Ok((sent, senders))
}

fn flush(senders: &mut [(OutSocket, i64)]) -> io::Result<()> {
    let begin = Instant::now();
    while senders.iter().any(|(socket, _)| socket.is_behind()) && begin.elapsed() < DRAIN_DEADLINE {
        for (socket, _) in &mut *senders {
            socket.write(&[])?;
        }
        thread::sleep(POLL_PAUSE);
    }
    Ok(())
}

/// A message that says when it was due, since the first one was.
fn message(room: i64, due: Duration) -> String {
    let content = format!("{:<CONTENT_LENGTH$}", due.as_nanos());
    // Without `ref`, so that there is no ack; nor would the padding at the end be cut.
    format!(r#"{{"type":"send_message","room_id":{room},"content":"{content}"}}"#)
}

/// What a subscriber looks at.
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

impl Course {
    fn note(&self, text: &[u8]) -> anyhow::Result<()> {
        let (now, wall) = (Instant::now(), self.clock.now());
        let event: Event<'_> = serde_json::from_slice(text)?;
        let (Some(message), "message") = (event.message, event.kind) else {
            anyhow::bail!("a subscriber was told {}", String::from_utf8_lossy(text))
        };
        let due = self.begin + Duration::from_nanos(message.content.trim_end().parse()?);
        if self.window.contains(due.into()) {
            let created_at = OffsetDateTime::parse(message.created_at, &Rfc3339)?;
            let since_commit = Duration::try_from(OffsetDateTime::from(wall) - created_at);
            let mut tally = self.tally();
            tally.deliveries += 1;
            tally.end_to_end.record(now - due);
            // Postgres and this program share a clock; it may be set back meanwhile.
            tally.from_commit.record(since_commit.unwrap_or_default());
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        let (end_to_end, from_commit, lateness) =
            (Latencies::new()?, Latencies::new()?, Latencies::new()?);
        Ok(Self { deliveries: 0, end_to_end, from_commit, lateness })
    }
}

async fn wait_until_seen(seen: &AtomicU64, wanted: u64) -> anyhow::Result<()> {
    let arriving = async {
        while seen.load(Ordering::Relaxed) < wanted {
            sleep(POLL_PAUSE).await;
        }
    };
    let has_arrived = timeout(DRAIN_DEADLINE, arriving).await;
    let count = seen.load(Ordering::Relaxed);
    has_arrived.with_context(|| format!("{count} of {wanted} deliveries have arrived"))?;
    ensure!(count == wanted, "{count} deliveries instead of {wanted}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        Course {
            begin: Instant::now(),
            window: Window::after(Duration::ZERO, Duration::from_secs(60)),
            clock: Clock::system(),
            seen: AtomicU64::new(0),
            tally: Mutex::new(Tally::new().unwrap()),
        }
    }

    #[test]
    fn a_message_says_when_it_was_due_in_128_bytes() {
        let frame: serde_json::Value =
            serde_json::from_str(&message(5, Duration::from_micros(1_500))).unwrap();
        let content = frame["content"].as_str().unwrap();
        assert_eq!((content.len(), content.trim_end()), (128, "1500000"));
    }

    #[tokio::test]
    async fn latency_counts_from_when_a_message_was_due() {
        let mut course = course();
        course.begin = Instant::now() - Duration::from_secs(5);
        course.window.from -= Duration::from_secs(10);
        let event = r#"{"type":"message","message":{"id":1,"content":"2000000000 ","created_at":"2020-01-01T00:00:00.000001Z"}}"#;
        course.note(event.as_bytes()).unwrap();
        let tally = course.tally();
        let millis = tally.end_to_end.percentiles().unwrap().p50;
        assert!((3_000.0..4_000.0).contains(&millis), "{millis}");
        assert!(tally.from_commit.percentiles().unwrap().p50 > 100_000.0);
        assert_eq!(tally.deliveries, 1);
    }

    #[tokio::test]
    async fn anything_else_than_a_message_is_an_error() {
        assert!(
            course().note(br#"{"type":"unsubscribed","room_id":1,"reason":"removed"}"#).is_err()
        );
    }
}
