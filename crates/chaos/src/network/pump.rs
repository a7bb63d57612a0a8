//! One direction of one connection.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::flow::{Flow, State};

/// Bytes of one read.
const CHUNK: usize = 16 << 10;
/// Delayed bytes in one direction of a connection. Beyond it nothing is read.
const MAX_DELAYED: usize = 256 << 10;
/// The command that a publication begins with. `SPUBLISH` ends with it, too.
const PUBLISH: &[u8] = b"PUBLISH";

/// Bytes that wait for their time, in order.
#[derive(Debug, Default)]
struct Delayed {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

/// Moves bytes until the source ends, then ends the destination. Fails if either side breaks.
/// `is_request` is true from the caller to the callee.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    is_request: bool,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut delayed = Delayed::default();
    let mut has_ended = false;
    while !has_ended || !delayed.chunks.is_empty() {
        let flow = state.borrow_and_update().flow;
        let moves = flow != Flow::Stall;
        let due = delayed.due();
        tokio::select! {
            biased;
            changed = state.changed() => changed.map_err(io::Error::other)?,
            read = from.read(&mut chunk), if moves && !has_ended && delayed.bytes < MAX_DELAYED => {
                let bytes = &chunk[..read?];
                has_ended = bytes.is_empty();
                match flow {
                    Flow::BreakPublications
                        if is_request && let Some(part) = broken(bytes) =>
                    {
                        to.write_all(part).await?;
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    Flow::Delay(by) => delayed.push(Instant::now() + by, bytes),
                    _ if delayed.chunks.is_empty() => to.write_all(bytes).await?,
                    // Delayed bytes are older and go first.
                    _ => delayed.push(Instant::now(), bytes),
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if moves && due.is_some() => {
                to.write_all(&delayed.pop()).await?;
            }
        }
    }
    to.shutdown().await
}

/// Returns the bytes up to the middle of what follows a `PUBLISH`, or `None` if there is none.
fn broken(bytes: &[u8]) -> Option<&[u8]> {
    let command =
        bytes.windows(PUBLISH.len()).position(|window| window.eq_ignore_ascii_case(PUBLISH))?;
    let after = command + PUBLISH.len();
    Some(&bytes[..after + (bytes.len() - after) / 2])
}

impl Delayed {
    fn push(&mut self, due: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.chunks.push_back((due, bytes.to_vec()));
        }
    }

    fn pop(&mut self) -> Vec<u8> {
        let (_, bytes) = self.chunks.pop_front().unwrap_or_else(|| (Instant::now(), Vec::new()));
        self.bytes -= bytes.len();
        bytes
    }

    fn due(&self) -> Option<Instant> {
        self.chunks.front().map(|(due, _)| *due)
    }
}
