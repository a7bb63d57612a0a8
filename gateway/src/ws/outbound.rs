//! The queue of one connection towards its client, bounded in bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backlog::{Backlog, Charge, ENTRY_BYTES, SharedFrames};
use super::frames::Frames;

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
    /// Told when what was taken is written. Only one task ever waits for it.
    emptied: Notify,
}

#[derive(Debug)]
struct Queue {
    frames: VecDeque<Frames>,
    /// What the frames take, shared or not.
    bytes: usize,
    /// What they take of the backlog: shared frames are counted there already.
    charge: Charge,
    writing: Option<Writing>,
    /// Set once, with the code to close with; nothing is queued after it.
    closing: Option<CloseCode>,
    /// The connection is to be closed at once: what was queued is gone.
    is_cut: bool,
    /// The process drains, and the connection has not been told.
    is_to_leave: bool,
    /// Of the one task that serves the connection.
    waker: Option<Waker>,
}

/// What the task of a connection is woken up for.
#[derive(Debug, PartialEq)]
pub(crate) enum Wake {
    /// Everything queued, and the close behind it if there is one.
    Queued(VecDeque<Frames>, Option<CloseCode>),
    /// The process drains. Told once.
    Draining,
}

/// Frames that were taken and are not written yet.
#[derive(Debug)]
struct Writing {
    bytes: usize,
    /// Since when the client has taken nothing of it, or not everything.
    stalled_since: Option<Instant>,
    _charge: Charge,
}

impl Queue {
    /// Everything that waits for the client.
    fn waiting_bytes(&self) -> usize {
        self.bytes + self.writing.as_ref().map_or(0, |writing| writing.bytes)
    }

    fn wake_later(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// Wakes the task of the connection, unless it is awake.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Outbound {
    pub(crate) fn new(id: u64, backlog: &Backlog) -> Self {
        let queue = Queue {
            frames: VecDeque::new(),
            bytes: 0,
            charge: backlog.charge(),
            writing: None,
            closing: None,
            is_cut: false,
            is_to_leave: false,
            waker: None,
        };
        Self { id, backlog: backlog.clone(), queue: Mutex::new(queue), emptied: Notify::new() }
    }

    /// Queues a frame. One that does not fit cuts the connection: the client has not read for too long.
    pub(crate) fn push(&self, frame: Frames) {
        let own_bytes = frame.len();
        self.enqueue(frame, own_bytes);
    }

    /// The same for frames that other queues share.
    pub(super) fn push_shared(&self, frames: &SharedFrames) {
        self.enqueue(frames.frames().clone(), 0);
    }

    /// Queues a frame that may as well be lost: it is left out as soon as the queue is half full.
    pub(super) fn push_unless_busy(&self, frame: &SharedFrames) {
        if self.lock().waiting_bytes() <= self.backlog.max_bytes_each() / 2 {
            self.push_shared(frame);
        }
    }

    fn enqueue(&self, frames: Frames, own_bytes: usize) {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return;
        }
        let bytes = frames.len() + ENTRY_BYTES;
        if queue.waiting_bytes() + bytes > self.backlog.max_bytes_each() {
            drop(queue);
            self.cut_off();
            return;
        }
        queue.bytes += bytes;
        queue.charge.add(own_bytes + ENTRY_BYTES);
        queue.frames.push_back(frames);
        wake(queue);
    }

    /// Closes the connection at once, as too slow.
    pub(crate) fn cut_off(&self) {
        let mut queue = self.lock();
        queue.closing = Some(CloseCode::TOO_SLOW);
        queue.frames = VecDeque::new();
        queue.bytes = 0;
        queue.charge = self.backlog.charge();
        if !std::mem::replace(&mut queue.is_cut, true) {
            self.backlog.note_slow_client();
        }
        wake(queue);
    }

    /// Tells the connection that the process drains.
    pub(super) fn drain(&self) {
        let mut queue = self.lock();
        queue.is_to_leave = true;
        wake(queue);
    }

    /// What waits for a client that has not taken since then what was written to it; nothing for any other.
    pub(super) fn stalled_bytes(&self, since: Instant) -> usize {
        let queue = self.lock();
        let stalled_since = queue.writing.as_ref().and_then(|writing| writing.stalled_since);
        let is_stalled = stalled_since.is_some_and(|stalled_since| stalled_since <= since);
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
        let mut queue = self.lock();
        queue.closing.get_or_insert(code);
        wake(queue);
    }

    /// Waits until there is something to do. The frames count as waiting until they are [written](Self::note_written) or the next
    /// ones are taken.
    pub(crate) async fn wake(&self) -> Wake {
        poll_fn(|cx| self.poll_wake(cx)).await
    }

    fn poll_wake(&self, cx: &Context<'_>) -> Poll<Wake> {
        let mut queue = self.lock();
        if !queue.frames.is_empty() || queue.closing.is_some() {
            let (bytes, charge) = (std::mem::take(&mut queue.bytes), queue.charge.take());
            queue.writing = Some(Writing { bytes, stalled_since: None, _charge: charge });
            return Poll::Ready(Wake::Queued(std::mem::take(&mut queue.frames), queue.closing));
        }
        if std::mem::take(&mut queue.is_to_leave) {
            return Poll::Ready(Wake::Draining);
        }
        queue.wake_later(cx);
        Poll::Pending
    }

    /// Everything queued, whatever else there is.
    pub(crate) fn take(&self) -> VecDeque<Frames> {
        std::mem::take(&mut self.lock().frames)
    }

    /// Says that the client did not take at once what was taken for it.
    pub(super) fn note_stalled(&self) {
        if let Some(writing) = &mut self.lock().writing {
            writing.stalled_since = Some(Instant::now());
        }
    }

    /// Says that what was taken is written.
    pub(crate) fn note_written(&self) {
        self.lock().writing = None;
        self.emptied.notify_one();
    }

    /// Whether the connection is to be closed at once.
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Ready when the connection is to be closed at once.
    pub(super) fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if queue.is_cut {
            return Poll::Ready(());
        }
        queue.wake_later(cx);
        Poll::Pending
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

    /// Ten bytes, two of which are the header.
    fn frame() -> Frames {
        Frames::of_text("12345678")
    }

    fn frames(count: usize, closing: Option<CloseCode>) -> Wake {
        Wake::Queued((0..count).map(|_| frame()).collect(), closing)
    }

    fn too_slow() -> Wake {
        frames(0, Some(CloseCode::TOO_SLOW))
    }

    #[tokio::test]
    async fn what_does_not_fit_cuts_the_connection() {
        let outbound = queue_of(1);
        outbound.push(frame());
        assert!(!outbound.is_cut());
        outbound.push(Frames::of_text(""));
        assert!(outbound.is_cut());
        assert_eq!(outbound.wake().await, too_slow());
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is() {
        let outbound = queue_of(2);
        outbound.push(frame());
        assert_eq!(outbound.wake().await, frames(1, None));
        outbound.push(frame());
        outbound.note_written();
        outbound.push(frame());
        assert_eq!(outbound.wake().await, frames(2, None));
        outbound.push(frame());
        assert_eq!(outbound.wake().await, too_slow());
    }

    #[tokio::test]
    async fn who_waits_for_frames_hears_of_the_cut() {
        let outbound = queue_of(1);
        let ((), woken) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                outbound.cut_off();
            },
            tokio::time::timeout(std::time::Duration::from_secs(5), outbound.wake()),
        );
        assert_eq!(woken, Ok(too_slow()));
    }

    #[tokio::test]
    async fn draining_is_told_once_and_behind_what_was_queued() {
        let outbound = queue_of(2);
        outbound.drain();
        outbound.push(frame());
        assert_eq!([outbound.wake().await, outbound.wake().await], [frames(1, None), Wake::Draining]);
        outbound.push(frame());
        assert_eq!(outbound.wake().await, frames(1, None));
    }

    #[tokio::test]
    async fn there_is_space_once_the_queue_was_written() {
        let outbound = queue_of(3);
        outbound.push(frame());
        let writing = async {
            let taken = outbound.wake().await;
            tokio::task::yield_now().await;
            assert!(!outbound.is_mostly_empty());
            outbound.note_written();
            taken
        };
        let has_space = tokio::time::timeout(std::time::Duration::from_secs(5), outbound.has_space());
        let (taken, has_space) = tokio::join!(writing, has_space);
        assert_eq!((taken, has_space), (frames(1, None), Ok(())));
    }

    #[tokio::test]
    async fn a_close_comes_behind_what_was_queued() {
        let outbound = queue_of(3);
        outbound.push(frame());
        outbound.close(CloseCode::RESTART);
        outbound.push(frame());
        assert_eq!(outbound.wake().await, frames(1, Some(CloseCode::RESTART)));
    }

    #[tokio::test]
    async fn signs_of_typing_are_left_out_first() {
        let outbound = queue_of(3);
        let typing = outbound.backlog.share(frame());
        outbound.push_unless_busy(&typing);
        outbound.push(frame());
        outbound.push_unless_busy(&typing);
        assert_eq!(outbound.wake().await, frames(2, None));
        outbound.push_unless_busy(&typing);
        outbound.push(frame());
        assert_eq!(outbound.wake().await, frames(1, None), "nor while much is being written");
    }
}
