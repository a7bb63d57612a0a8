//! Sends messages when they are due.

use std::time::Duration;

use parlance_measure::Latencies;
use tokio::time::{Instant, sleep_until};

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

impl Schedule {
    /// Sends until the window ends. Returns how many messages were sent, and for those of the
    /// window the time from when each was due until it was sent.
    ///
    /// A message may wait for the one before it, and up to a millisecond for the timer. Both are in
    /// its latency, which counts from when it was due.
    pub(super) async fn send(self, senders: &mut [Sender]) -> anyhow::Result<(u64, Latencies)> {
        let interval = Duration::from_secs(1) / self.rate.max(1);
        let (mut messages, mut lateness) = (0, Latencies::new());
        loop {
            let due = self.begin + interval * u32::try_from(messages)?;
            if due >= self.window.to {
                return Ok((messages, lateness));
            }
            sleep_until(due).await;
            let index = usize::try_from(messages)? % senders.len();
            let (socket, room) = &mut senders[index];
            socket.send([message(*room, due - self.begin)]).await?;
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
