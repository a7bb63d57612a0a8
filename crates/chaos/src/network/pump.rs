//! One direction of one connection.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Flow;
use super::proxy::Orders;

/// Read at once.
const CHUNK: usize = 16 << 10;
/// Held back in one direction of a connection while it is delayed; beyond it nothing is read.
const MAX_HELD: usize = 256 << 10;
/// The command that a publication begins with, sharded or not.
const PUBLISH: &[u8] = b"PUBLISH";

/// As seen from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forth,
    Back,
}

/// What waits for its time, in order.
#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

/// Moves bytes until there are no more, which it passes on, or until one of the two is gone.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut held = Held::default();
    let mut has_ended = false;
    while !has_ended || !held.chunks.is_empty() {
        let flow = orders.borrow_and_update().flow;
        let moves = flow != Flow::Stall;
        let due = held.due();
        tokio::select! {
            biased;
            changed = orders.changed() => changed.map_err(io::Error::other)?,
            read = from.read(&mut chunk), if moves && !has_ended && held.bytes < MAX_HELD => {
                let bytes = &chunk[..read?];
                has_ended = bytes.is_empty();
                match flow {
                    Flow::BreakPublications if direction == Direction::Forth && let Some(part) = broken(bytes) => {
                        to.write_all(part).await?;
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    Flow::Delay(by) => held.push(Instant::now() + by, bytes),
                    _ if held.chunks.is_empty() => to.write_all(bytes).await?,
                    // Behind what was held back before.
                    _ => held.push(Instant::now(), bytes),
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if moves && due.is_some() => {
                to.write_all(&held.pop()).await?;
            }
        }
    }
    to.shutdown().await
}

/// Half of what carries a publication.
fn broken(bytes: &[u8]) -> Option<&[u8]> {
    let command =
        bytes.windows(PUBLISH.len()).position(|window| window.eq_ignore_ascii_case(PUBLISH))?;
    let after = command + PUBLISH.len();
    Some(&bytes[..after + (bytes.len() - after) / 2])
}

impl Held {
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
