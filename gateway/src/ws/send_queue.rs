//! The queue of one connection towards its client, bounded in bytes, and the writing of what is in
//! it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ws::frames::Frames;
use crate::ws::send_budget::{Charge, SendBudget, SharedFrames};

/// What frames take in a queue besides their bytes: a queue has up to twice the space that it uses.
pub(crate) const ENTRY_BYTES: usize = 2 * size_of::<Entry>();
/// Pieces that are written with one system call.
const MAX_GATHERED: usize = 64;
/// What a queue keeps space for while there is nothing in it.
const MAX_SPARE: usize = 4;

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

/// What a connection shares with those who have something to say to its client. None of them ever
/// waits: a client that does not read is cut.
///
/// Whoever queues something may [write](Self::flush) it, too; what does not go at once is left to
/// the task of the connection.
#[derive(Debug)]
pub(crate) struct SendQueue {
    /// Unique among all gateways for all practical purposes.
    pub(crate) id: u64,
    /// Nothing for a client in this process, who takes what is queued.
    stream: Option<Arc<TcpStream>>,
    send_budget: SendBudget,
    /// Held for writes, which do not wait, and never across an await.
    queue: Mutex<Queue>,
    /// Told when something was written. Only one task ever waits for it.
    emptied: Notify,
}

#[derive(Debug)]
struct Queue {
    entries: VecDeque<Entry>,
    /// How many bytes of the first one are written.
    written_of_first: usize,
    /// How many entries are written, or gone.
    done: u64,
    /// Whether a control frame waits, or the rest of one: it comes before the next entry.
    is_control_frame_next: bool,
    /// What the entries take, shared or not.
    bytes: usize,
    /// What they take of the send_budget: shared frames are counted there already.
    charge: Charge,
    /// Since when the client has taken nothing of what waits for it.
    stalled_since: Option<Instant>,
    /// Set once, with the code to close with; nothing is queued after it.
    closing: Option<CloseCode>,
    /// The connection is to be closed at once: what was queued is gone.
    is_cut: bool,
    /// The process drains, and the connection has not been told.
    is_to_leave: bool,
    /// Somebody is going to [flush](SendQueue::flush) the queue.
    is_to_be_flushed: bool,
    /// Of the one task that serves the connection.
    waker: Option<Waker>,
}

/// Frames that are queued, and what they take of the send_budget.
#[derive(Debug)]
struct Entry {
    frames: Frames,
    charged: usize,
}

/// What the task of a connection is woken up for.
#[derive(Debug, PartialEq)]
pub(crate) enum Wake {
    /// Something is to be written, or the close is due behind it.
    Queued(Option<CloseCode>),
    /// The process drains. Told once.
    Draining,
}

impl Queue {
    fn push(&mut self, frames: Frames, charged: usize) {
        self.bytes += frames.len() + ENTRY_BYTES;
        self.charge.add(charged);
        self.entries.push_back(Entry { frames, charged });
    }

    /// How many entries are done once all that are there now are.
    fn end(&self) -> u64 {
        self.done + self.entries.len() as u64
    }

    /// Writes what is queued up to an end; `WouldBlock` when not everything goes at once.
    fn write(&mut self, stream: &TcpStream, end: u64) -> io::Result<()> {
        while !self.entries.is_empty() {
            match self.write_once(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.note_written(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return if self.done < end { Err(error) } else { Ok(()) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes as much as goes with one system call; how many bytes that were.
    fn write_once(&self, stream: &TcpStream) -> io::Result<usize> {
        if self.is_control_frame_next && self.written_of_first == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut pieces = self.entries.iter().map(|entry| entry.frames.wire());
        let rest_of_first = pieces.next().map_or(&[][..], |first| &first[self.written_of_first..]);
        if self.entries.len() == 1 || self.is_control_frame_next {
            return stream.try_write(rest_of_first);
        }
        let mut slices = [IoSlice::new(rest_of_first); MAX_GATHERED];
        let others = slices[1..].iter_mut().zip(pieces);
        let count = 1 + others.map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        stream.try_write_vectored(&slices[..count])
    }

    fn note_written(&mut self, bytes: usize) {
        self.stalled_since = None;
        self.written_of_first += bytes;
        while let Some(first) =
            self.entries.front().filter(|first| first.frames.len() <= self.written_of_first)
        {
            self.written_of_first -= first.frames.len();
            self.pop_front();
        }
    }

    fn pop_front(&mut self) -> Option<Frames> {
        let entry = self.entries.pop_front()?;
        self.let_go(&entry);
        Some(entry.frames)
    }

    /// Forgets what is queued, but for the rest of what is half written.
    fn clear(&mut self) {
        let kept = usize::from(self.written_of_first > 0);
        while self.entries.len() > kept
            && let Some(entry) = self.entries.pop_back()
        {
            self.let_go(&entry);
        }
    }

    fn let_go(&mut self, entry: &Entry) {
        self.bytes -= entry.frames.len() + ENTRY_BYTES;
        self.charge.remove(entry.charged);
        self.done += 1;
        if self.entries.is_empty() && self.entries.capacity() > MAX_SPARE {
            // An idle connection has no memory to spare.
            self.entries = VecDeque::new();
        }
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

impl SendQueue {
    /// An empty queue, for a client at the other end of a stream or in this process.
    pub(crate) fn new(id: u64, stream: Option<Arc<TcpStream>>, send_budget: &SendBudget) -> Self {
        let queue = Queue {
            entries: VecDeque::new(),
            written_of_first: 0,
            done: 0,
            is_control_frame_next: false,
            bytes: 0,
            charge: send_budget.charge(),
            stalled_since: None,
            closing: None,
            is_cut: false,
            is_to_leave: false,
            is_to_be_flushed: false,
            waker: None,
        };
        Self {
            id,
            stream,
            send_budget: send_budget.clone(),
            queue: Mutex::new(queue),
            emptied: Notify::new(),
        }
    }

    /// Queues a frame. One that does not fit cuts the connection: the client has not read for too
    /// long.
    pub(crate) fn push(&self, frame: Frames) {
        let own_bytes = frame.len();
        if let Some(queue) = self.enqueue(frame, own_bytes) {
            wake(queue);
        }
    }

    /// The same for frames that other queues share.
    pub(crate) fn push_shared(&self, frames: &SharedFrames) {
        if let Some(queue) = self.enqueue(frames.frames().clone(), 0) {
            wake(queue);
        }
    }

    /// The same, without a word to the task of the connection. Whether the caller has to see to it
    /// that they are [written](Self::flush): not when somebody is to do that already.
    #[must_use]
    pub(crate) fn push_for_delivery(&self, frames: &SharedFrames) -> bool {
        let queue = self.enqueue(frames.frames().clone(), 0);
        queue.is_some_and(|mut queue| !std::mem::replace(&mut queue.is_to_be_flushed, true))
    }

    /// Queues a frame that may as well be lost: it is left out as soon as the queue is half full.
    pub(crate) fn push_unless_busy(&self, frame: &SharedFrames) {
        if self.lock().bytes <= self.send_budget.max_bytes_each() / 2 {
            self.push_shared(frame);
        }
    }

    fn enqueue(&self, frames: Frames, own_bytes: usize) -> Option<MutexGuard<'_, Queue>> {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return None;
        }
        if queue.bytes + frames.len() + ENTRY_BYTES > self.send_budget.max_bytes_each() {
            drop(queue);
            self.cut_off();
            return None;
        }
        queue.push(frames, own_bytes + ENTRY_BYTES);
        Some(queue)
    }

    /// Writes what is queued as far as it goes at once, and wakes the task of the connection up for
    /// the rest.
    pub(crate) fn flush(&self) {
        let mut queue = self.lock();
        queue.is_to_be_flushed = false;
        let end = queue.end();
        let is_written =
            self.stream.as_ref().is_some_and(|stream| queue.write(stream, end).is_ok());
        self.emptied.notify_one();
        if !is_written
            || queue.is_control_frame_next
            || queue.closing.is_some()
            || queue.is_to_leave
        {
            wake(queue);
        }
    }

    /// Up to where the queue is to be [written](Self::write), for everything that is in it now.
    pub(crate) fn end(&self) -> u64 {
        self.lock().end()
    }

    /// Writes what is queued up to an [end](Self::end); `WouldBlock` when not everything goes at
    /// once. For the task of the connection.
    pub(crate) fn write(&self, stream: &TcpStream, end: u64) -> io::Result<()> {
        let outcome = self.lock().write(stream, end);
        self.emptied.notify_one();
        outcome
    }

    /// Writes of a control frame what goes at once: never into the middle of an entry, but before
    /// the next one.
    pub(crate) fn write_control(&self, stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let mut queue = self.lock();
        let is_in_the_middle = queue.written_of_first > 0;
        let written = if is_in_the_middle {
            Err(ErrorKind::WouldBlock.into())
        } else {
            stream.try_write(bytes)
        };
        queue.is_control_frame_next = !matches!(written, Ok(length) if length == bytes.len());
        written
    }

    /// Closes the connection at once, as too slow.
    pub(crate) fn cut_off(&self) {
        let mut queue = self.lock();
        queue.closing = Some(CloseCode::TOO_SLOW);
        queue.clear();
        if !std::mem::replace(&mut queue.is_cut, true) {
            self.send_budget.note_slow_client();
        }
        wake(queue);
    }

    /// Tells the connection that the process drains.
    pub(crate) fn drain(&self) {
        let mut queue = self.lock();
        queue.is_to_leave = true;
        wake(queue);
    }

    /// What waits for a client that has not taken since then what was written to it; nothing for
    /// any other.
    pub(crate) fn stalled_bytes(&self, since: Instant) -> usize {
        let queue = self.lock();
        let is_stalled = queue.stalled_since.is_some_and(|stalled_since| stalled_since <= since);
        if is_stalled { queue.bytes } else { 0 }
    }

    /// Waits until little waits for the client: what is read from the store need not be held in
    /// memory.
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
        queue.closing.is_some() || queue.bytes <= self.send_budget.max_bytes_each() / 4
    }

    /// Closes the connection behind everything queued so far.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut queue = self.lock();
        queue.closing.get_or_insert(code);
        wake(queue);
    }

    /// Waits until there is something to do.
    pub(crate) async fn wake(&self) -> Wake {
        poll_fn(|cx| self.poll_wake(cx)).await
    }

    fn poll_wake(&self, cx: &Context<'_>) -> Poll<Wake> {
        let mut queue = self.lock();
        if !queue.entries.is_empty() || queue.is_control_frame_next || queue.closing.is_some() {
            return Poll::Ready(Wake::Queued(queue.closing));
        }
        if std::mem::take(&mut queue.is_to_leave) {
            return Poll::Ready(Wake::Draining);
        }
        queue.wake_later(cx);
        Poll::Pending
    }

    /// Everything queued, for a client in this process.
    pub(crate) fn take(&self) -> Vec<Frames> {
        let mut queue = self.lock();
        std::iter::from_fn(|| queue.pop_front()).collect()
    }

    /// Whether the connection is to be closed at once.
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Ready when the connection is to be closed at once.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
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
