//! Sends messages when they are due. The pacer has a thread of its own because the timers of Tokio
//! are exact to a millisecond only.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use parlance_measure::Latencies;
use tokio::sync::oneshot;

use crate::usage::Window;
use crate::ws::{RawSocket, encode};

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

/// A socket and the room that it sends to.
pub(super) type Sender = (RawSocket, i64);

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
    let (mut frame, mut messages, mut lateness) = (Vec::new(), 0, Latencies::new());
    loop {
        let due = begin + interval * u32::try_from(messages)?;
        if due >= window.to.into_std() || done.is_closed() {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = usize::try_from(messages)? % senders.len();
        let (socket, room) = &mut senders[index];
        frame.clear();
        encode(message(*room, due - begin).as_bytes(), &mut frame);
        socket.write_some(&frame)?;
        if window.contains(due.into()) {
            lateness.record(due.elapsed());
        }
        messages += 1;
    }
    flush(&mut senders).context("a sender")?;
    Ok(Sent { messages, lateness, senders })
}

fn flush(senders: &mut [Sender]) -> std::io::Result<()> {
    let begin = Instant::now();
    let has_unsent = |senders: &[Sender]| senders.iter().any(|(socket, _)| socket.has_unsent());
    while has_unsent(senders) && begin.elapsed() < FLUSH_TIMEOUT {
        for (socket, _) in &mut *senders {
            socket.write_some(&[])?;
        }
        thread::sleep(FLUSH_INTERVAL);
    }
    Ok(())
}

/// Returns a message whose content is the time at which it is due, in nanoseconds since the first
/// one, padded to 128 bytes.
fn message(room: i64, due: Duration) -> String {
    let content = format!("{:<CONTENT_LENGTH$}", due.as_nanos());
    // A message without `ref` has no ack. The gateway does not trim contents.
    format!(r#"{{"type":"send_message","room_id":{room},"content":"{content}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_contains_its_due_time_in_128_bytes() {
        let frame = message(5, Duration::from_micros(1_500));
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let content = frame["content"].as_str().unwrap();
        assert_eq!((content.len(), content.trim_end()), (128, "1500000"));
    }
}
