//! The queue of one connection towards its client, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Charge, ENTRY_BYTES, SharedFrame};

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
    backlog: Backlog,
    queue: Mutex<Queue>,
    filled: Notify,
    /// Told when what was taken is written. Only one task ever waits for it.
    emptied: Notify,
    /// Cancelled when the connection is to be closed at once, whatever is queued.
    cut: CancellationToken,
}

#[derive(Debug)]
struct Queue {
    frames: VecDeque<Utf8Bytes>,
    /// What the frames take, shared or not.
    bytes: usize,
    /// What they take of the backlog: shared frames are counted there already.
    charge: Charge,
    writing: Option<Writing>,
    /// Set once, with the code to close with; nothing is queued after it.
    closing: Option<CloseCode>,
}

/// Frames that were taken and are not written yet.
#[derive(Debug)]
struct Writing {
    bytes: usize,
    since: Instant,
    _charge: Charge,
}

impl Queue {
    /// Everything that waits for the client.
    fn waiting_bytes(&self) -> usize {
        self.bytes + self.writing.as_ref().map_or(0, |writing| writing.bytes)
    }
}

impl Outbound {
    pub(crate) fn new(id: u64, backlog: &Backlog) -> Self {
        let frames = VecDeque::new();
        let queue = Queue { frames, bytes: 0, charge: backlog.charge(), writing: None, closing: None };
        Self {
            id,
            backlog: backlog.clone(),
            queue: Mutex::new(queue),
            filled: Notify::new(),
            emptied: Notify::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Queues a frame. One that does not fit cuts the connection: the client has not read for too long.
    pub(crate) fn push(&self, frame: Utf8Bytes) {
        let own_bytes = frame.len();
        self.enqueue(frame, own_bytes);
    }

    /// The same for a frame that other queues share.
    pub(super) fn push_shared(&self, frame: &SharedFrame) {
        self.enqueue(frame.text().clone(), 0);
    }

    /// Queues a frame that may as well be lost: it is left out as soon as the queue is half full.
    pub(super) fn push_unless_busy(&self, frame: &SharedFrame) {
        if self.lock().waiting_bytes() <= self.backlog.max_bytes_each() / 2 {
            self.push_shared(frame);
        }
    }

    fn enqueue(&self, frame: Utf8Bytes, own_bytes: usize) {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return;
        }
        let bytes = frame.len() + ENTRY_BYTES;
        if queue.waiting_bytes() + bytes > self.backlog.max_bytes_each() {
            drop(queue);
            self.cut_off();
            return;
        }
        queue.bytes += bytes;
        queue.charge.add(own_bytes + ENTRY_BYTES);
        queue.frames.push_back(frame);
        drop(queue);
        self.filled.notify_one();
    }

    /// Closes the connection at once, as too slow.
    pub(crate) fn cut_off(&self) {
        let mut queue = self.lock();
        queue.closing = Some(CloseCode::TOO_SLOW);
        queue.frames = VecDeque::new();
        queue.bytes = 0;
        queue.charge = self.backlog.charge();
        if !self.cut.is_cancelled() {
            self.backlog.note_slow_client();
        }
        self.cut.cancel();
        drop(queue);
        self.filled.notify_one();
    }

    /// What waits for a client that has not taken since then what was written to it; nothing for any other.
    pub(super) fn stalled_bytes(&self, since: Instant) -> usize {
        let queue = self.lock();
        let is_stalled = queue.writing.as_ref().is_some_and(|writing| writing.since <= since);
        if is_stalled { queue.waiting_bytes() } else { 0 }
    }

    /// Waits until little waits for the client: what is read from the store need not be held in memory.
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
        queue.closing.is_some() || queue.waiting_bytes() <= self.backlog.max_bytes_each() / 4
    }

    /// Closes the connection behind everything queued so far.
    pub(crate) fn close(&self, code: CloseCode) {
        self.lock().closing.get_or_insert(code);
        self.filled.notify_one();
    }

    /// Everything queued, and the close behind it if there is one. Waits until there is something. The frames count as waiting
    /// until they are [written](Self::note_written) or the next ones are taken.
    pub(crate) async fn take(&self) -> (VecDeque<Utf8Bytes>, Option<CloseCode>) {
        loop {
            {
                let mut queue = self.lock();
                if !queue.frames.is_empty() || queue.closing.is_some() {
                    let (bytes, charge) = (std::mem::take(&mut queue.bytes), queue.charge.take());
                    queue.writing = Some(Writing { bytes, since: Instant::now(), _charge: charge });
                    return (std::mem::take(&mut queue.frames), queue.closing);
                }
            }
            self.filled.notified().await;
        }
    }

    /// Says that what was taken is written.
    pub(crate) fn note_written(&self) {
        self.lock().writing = None;
        self.emptied.notify_one();
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

    /// A queue with space for so many frames of ten bytes.
    fn queue_of(frames: usize) -> Outbound {
        Outbound::new(1, &Backlog::of(frames * (10 + ENTRY_BYTES), 1 << 20))
    }

    fn frame() -> Utf8Bytes {
        "1234567890".into()
    }

    fn frames(count: usize) -> VecDeque<Utf8Bytes> {
        (0..count).map(|_| frame()).collect()
    }

    #[tokio::test]
    async fn what_does_not_fit_cuts_the_connection() {
        let outbound = queue_of(1);
        outbound.push(frame());
        assert!(!outbound.cut().is_cancelled());
        outbound.push("x".into());
        assert!(outbound.cut().is_cancelled());
        assert_eq!(outbound.take().await, (VecDeque::new(), Some(CloseCode::TOO_SLOW)));
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is() {
        let outbound = queue_of(2);
        outbound.push(frame());
        assert_eq!(outbound.take().await, (frames(1), None));
        outbound.push(frame());
        outbound.note_written();
        outbound.push(frame());
        assert_eq!(outbound.take().await, (frames(2), None));
        outbound.push(frame());
        assert_eq!(outbound.take().await.1, Some(CloseCode::TOO_SLOW));
    }

    #[tokio::test]
    async fn who_waits_for_frames_hears_of_the_cut() {
        let outbound = queue_of(1);
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
    async fn there_is_space_once_the_queue_was_written() {
        let outbound = queue_of(3);
        outbound.push(frame());
        let writing = async {
            let taken = outbound.take().await.0.len();
            tokio::task::yield_now().await;
            assert!(!outbound.is_mostly_empty());
            outbound.note_written();
            taken
        };
        let has_space = tokio::time::timeout(std::time::Duration::from_secs(5), outbound.has_space());
        let (taken, has_space) = tokio::join!(writing, has_space);
        assert_eq!((taken, has_space), (1, Ok(())));
    }

    #[tokio::test]
    async fn a_close_comes_behind_what_was_queued() {
        let outbound = queue_of(3);
        outbound.push(frame());
        outbound.close(CloseCode::RESTART);
        outbound.push(frame());
        assert_eq!(outbound.take().await, (frames(1), Some(CloseCode::RESTART)));
    }

    #[tokio::test]
    async fn signs_of_typing_are_left_out_first() {
        let outbound = queue_of(3);
        let typing = outbound.backlog.share(&frame());
        outbound.push_unless_busy(&typing);
        outbound.push(frame());
        outbound.push_unless_busy(&typing);
        assert_eq!(outbound.take().await.0.len(), 2);
        outbound.push_unless_busy(&typing);
        outbound.push(frame());
        assert_eq!(outbound.take().await.0, frames(1), "nor while much is being written");
    }
}
