//! Sends messages when they are due.

use std::thread::sleep;
use std::time::Duration;

use parlance_measure::Latencies;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::usage::Window;
use crate::ws::Socket;

/// In bytes.
const CONTENT_LENGTH: usize = 128;

/// A socket, and the room that it sends to.
pub(super) type Sender = (Socket, i64);

/// When messages are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The first message is due now.
    pub(super) begin: Instant,
    /// Messages a second.
    pub(super) rate: u32,
    pub(super) window: Window,
}

/// What was sent.
pub(super) struct Sent {
    pub(super) senders: Vec<Sender>,
    pub(super) messages: u64,
    /// From when each message of the window was due until it was sent.
    pub(super) lateness: Latencies,
}

impl Schedule {
    /// Sends until the window ends. A message may wait for the one before it, which is in its
    /// latency.
    pub(super) async fn send(self, senders: Vec<Sender>) -> anyhow::Result<Sent> {
        let runtime = Handle::current();
        // A thread of its own: the timers of Tokio are exact to a millisecond only.
        spawn_blocking(move || self.send_blocking(senders, &runtime)).await?
    }

    fn send_blocking(self, mut senders: Vec<Sender>, runtime: &Handle) -> anyhow::Result<Sent> {
        let interval = Duration::from_secs(1) / self.rate.max(1);
        let (mut messages, mut lateness) = (0, Latencies::new());
        loop {
            let due = self.begin + interval * u32::try_from(messages)?;
            if due >= self.window.to {
                return Ok(Sent { senders, messages, lateness });
            }
            sleep(due.saturating_duration_since(Instant::now()));
            let index = usize::try_from(messages)? % senders.len();
            let (socket, room) = &mut senders[index];
            runtime.block_on(socket.send([message(*room, due - self.begin)]))?;
            if self.window.contains(due) {
                lateness.record(due.elapsed());
            }
            messages += 1;
        }
    }
}

/// Returns a message whose content is the time at which it is due, in nanoseconds since the first
/// one, padded to 128 bytes.
pub fn message(room: i64, due: Duration) -> String {
    let content = format!("{:<CONTENT_LENGTH$}", due.as_nanos());
    // A message without `ref` has no ack. The gateway does not trim contents.
    format!(r#"{{"type":"send_message","room_id":{room},"content":"{content}"}}"#)
}
