//! Sends messages when they are due. The pacer has a thread of its own because the timers of Tokio
//! are exact to a millisecond only.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use parlance_measure::Latencies;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::usage::Window;
use crate::ws::Socket;

/// Bounds the time in which sockets take the last frames.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(15);
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);
/// In bytes.
const CONTENT_LENGTH: usize = 128;

/// When messages are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The first message is due now.
    pub(super) begin: Instant,
    /// Messages a second.
    pub(super) rate: u32,
    pub(super) window: Window,
}

/// A socket that never blocks, and the room that it sends to.
pub(super) struct Sender {
    socket: WebSocket<TcpStream>,
    room: i64,
}

impl Sender {
    pub(super) fn new(socket: Socket, room: i64) -> anyhow::Result<Self> {
        // Streams of Tokio are non-blocking.
        let stream = socket.into_stream().into_std()?;
        Ok(Self { socket: WebSocket::from_raw_socket(stream, Role::Client, None), room })
    }

    /// Writes a message as far as the socket takes it. The rest waits in the sender.
    fn send(&mut self, message: String) -> Result<(), tungstenite::Error> {
        unless_blocked(self.socket.send(Message::text(message))).map(drop)
    }

    /// Returns true if nothing waits any more.
    fn flush(&mut self) -> Result<bool, tungstenite::Error> {
        unless_blocked(self.socket.flush())
    }

    /// Returns a text that the gateway has sent: an error.
    pub(super) fn received(&mut self) -> Option<Message> {
        self.socket.read().ok()
    }
}

/// Returns false if the socket would have blocked.
fn unless_blocked(result: Result<(), tungstenite::Error>) -> Result<bool, tungstenite::Error> {
    match result {
        Ok(()) => Ok(true),
        Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the pacer has sent.
pub(super) struct Sent {
    pub(super) messages: u64,
    /// From when each message of the window was due until it was sent.
    pub(super) lateness: Latencies,
    /// The connections stay open until all messages have arrived.
    pub(super) senders: Vec<Sender>,
}

type Done = oneshot::Sender<anyhow::Result<Sent>>;

/// Starts the thread. It sends until the window ends, or until the receiver is dropped.
pub(super) fn start(
    senders: Vec<Sender>,
    schedule: Schedule,
) -> anyhow::Result<oneshot::Receiver<anyhow::Result<Sent>>> {
    let (done, sent) = oneshot::channel();
    let run = move || {
        let result = send_when_due(senders, schedule, &done);
        // The receiver is gone if the run was given up.
        let _ = done.send(result);
    };
    thread::Builder::new().name("pacer".to_owned()).spawn(run)?;
    Ok(sent)
}

/// Never waits for a socket: frames that a socket does not take are kept for its next turn.
fn send_when_due(
    mut senders: Vec<Sender>,
    schedule: Schedule,
    done: &Done,
) -> anyhow::Result<Sent> {
    let Schedule { begin, rate, window } = schedule;
    let interval = Duration::from_secs(1) / rate.max(1);
    let (mut messages, mut lateness) = (0, Latencies::new());
    loop {
        let due = begin + interval * u32::try_from(messages)?;
        if due >= window.to.into_std() || done.is_closed() {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = usize::try_from(messages)? % senders.len();
        let sender = &mut senders[index];
        sender.send(message(sender.room, due - begin))?;
        if window.contains(due.into()) {
            lateness.record(due.elapsed());
        }
        messages += 1;
    }
    flush(&mut senders).context("a sender")?;
    Ok(Sent { messages, lateness, senders })
}

fn flush(senders: &mut [Sender]) -> Result<(), tungstenite::Error> {
    let begin = Instant::now();
    for sender in senders {
        while !sender.flush()? && begin.elapsed() < FLUSH_TIMEOUT {
            thread::sleep(FLUSH_INTERVAL);
        }
    }
    Ok(())
}

/// Returns a message whose content is the time at which it is due, in nanoseconds since the first
/// one, padded to 128 bytes.
pub fn message(room: i64, due: Duration) -> String {
    let content = format!("{:<CONTENT_LENGTH$}", due.as_nanos());
    // A message without `ref` has no ack. The gateway does not trim contents.
    format!(r#"{{"type":"send_message","room_id":{room},"content":"{content}"}}"#)
}
