//! The queue of one connection towards its client, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why the server closes a connection, as its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    /// The server is silent because the client is: come back.
    pub(crate) const GOING_AWAY: Self = Self(1001);
    /// A frame was too large: do not come back with it.
    pub(crate) const TOO_BIG: Self = Self(1009);
    /// The server restarts: come back.
    pub(crate) const RESTART: Self = Self(1012);
    /// The server cannot serve right now: come back later.
    pub(crate) const TRY_AGAIN: Self = Self(1013);
    /// The token is missing, bad, expired, or of a user who is locked out.
    pub(crate) const UNAUTHENTICATED: Self = Self(4401);
    /// No frame came in time.
    pub(crate) const AUTH_TIMEOUT: Self = Self(4408);
    /// The client does not read fast enough: come back with `after_seq`.
    pub(crate) const TOO_SLOW: Self = Self(4429);
}

/// What a connection shares with those who write to it. Nobody who writes ever waits: a client that does not read is cut.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Unique among all gateways for all practical purposes.
    pub(crate) id: u64,
    max_bytes: usize,
    queue: Mutex<Queue>,
    filled: Notify,
    /// Told when the queue was taken. Only one task ever waits for it.
    emptied: Notify,
    /// Cancelled when the connection is to be closed at once, whatever is queued.
    cut: CancellationToken,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// Set once, with the code to close with; nothing is queued after it.
    closing: Option<CloseCode>,
}

impl Outbound {
    pub(crate) fn new(id: u64, max_bytes: usize) -> Self {
        let cut = CancellationToken::new();
        Self { id, max_bytes, queue: Mutex::default(), filled: Notify::new(), emptied: Notify::new(), cut }
    }

    /// Queues a frame. One that does not fit cuts the connection: the client has not read for too long.
    pub(crate) fn push(&self, frame: Utf8Bytes) {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return;
        }
        if queue.bytes + frame.len() > self.max_bytes {
            drop(queue);
            self.cut_off();
            return;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        drop(queue);
        self.filled.notify_one();
    }

    /// Queues a frame that may as well be lost: it is left out as soon as the queue is half full.
    pub(crate) fn push_unless_busy(&self, frame: Utf8Bytes) {
        if self.lock().bytes <= self.max_bytes / 2 {
            self.push(frame);
        }
    }

    /// Closes the connection at once, as too slow.
    pub(crate) fn cut_off(&self) {
        let mut queue = self.lock();
        queue.closing = Some(CloseCode::TOO_SLOW);
        queue.frames.clear();
        drop(queue);
        self.cut.cancel();
        self.filled.notify_one();
    }

    /// Waits until the queue is mostly empty: what is read from the store need not be held in memory.
    pub(crate) async fn has_space(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_mostly_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn is_mostly_empty(&self) -> bool {
        let queue = self.lock();
        queue.closing.is_some() || queue.bytes <= self.max_bytes / 4
    }

    /// Closes the connection behind everything queued so far.
    pub(crate) fn close(&self, code: CloseCode) {
        self.lock().closing.get_or_insert(code);
        self.filled.notify_one();
    }

    /// Everything queued, and the close behind it if there is one. Waits until there is something.
    pub(crate) async fn take(&self) -> (VecDeque<Utf8Bytes>, Option<CloseCode>) {
        loop {
            {
                let mut queue = self.lock();
                if !queue.frames.is_empty() || queue.closing.is_some() {
                    queue.bytes = 0;
                    self.emptied.notify_one();
                    return (std::mem::take(&mut queue.frames), queue.closing);
                }
            }
            self.filled.notified().await;
        }
    }

    /// Cancelled when the connection is to be closed at once.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_cuts_the_connection() {
        let outbound = Outbound::new(1, 10);
        outbound.push("12345".into());
        assert!(!outbound.cut().is_cancelled());
        outbound.push("678901".into());
        assert!(outbound.cut().is_cancelled());
        assert_eq!(outbound.take().await, (VecDeque::new(), Some(CloseCode::TOO_SLOW)));
    }

    #[tokio::test]
    async fn who_waits_for_frames_hears_of_the_cut() {
        let outbound = Outbound::new(1, 10);
        let ((), taken) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                outbound.cut_off();
            },
            tokio::time::timeout(std::time::Duration::from_secs(5), outbound.take()),
        );
        assert_eq!(taken.unwrap().1, Some(CloseCode::TOO_SLOW));
    }

    #[tokio::test]
    async fn there_is_space_once_the_queue_was_taken() {
        let outbound = Outbound::new(1, 10);
        outbound.push("12345678".into());
        let taking = async {
            tokio::task::yield_now().await;
            outbound.take().await.0.len()
        };
        let has_space = tokio::time::timeout(std::time::Duration::from_secs(5), outbound.has_space());
        let (taken, has_space) = tokio::join!(taking, has_space);
        assert_eq!((taken, has_space), (1, Ok(())));
    }

    #[tokio::test]
    async fn a_close_comes_behind_what_was_queued() {
        let outbound = Outbound::new(1, 10);
        outbound.push("1".into());
        outbound.close(CloseCode::RESTART);
        outbound.push("2".into());
        assert_eq!(outbound.take().await, (VecDeque::from(["1".into()]), Some(CloseCode::RESTART)));
    }

    #[tokio::test]
    async fn signs_of_typing_are_left_out_first() {
        let outbound = Outbound::new(1, 10);
        outbound.push("123456".into());
        outbound.push_unless_busy("x".into());
        assert_eq!(outbound.take().await.0.len(), 1);
    }
}
