//! The queue of one connection to its client, bounded in bytes.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::lock;
use crate::ws::close_code::CloseCode;
use crate::ws::frames::Frames;
use crate::ws::queued_frames::{ENTRY_BYTES, QueuedFrames};
use crate::ws::send_budget::{SendBudget, SharedFrames};
use crate::ws::unfinished::Unfinished;

/// The queue of a connection, shared with every part that sends to its client. Pushing never waits:
/// a client that does not read is shed.
///
/// Any task may [flush](Self::flush) the queue. What the socket does not accept then is left to the
/// task of the connection.
pub(crate) struct SendQueue {
    /// The connection id: random, unique among all gateways.
    pub(crate) id: u64,
    /// None for a client in this process, which [takes](Self::take) the frames.
    stream: Option<Arc<TcpStream>>,
    send_budget: SendBudget,
    /// Locked for writes that do not wait. Never held across an await.
    state: Mutex<State>,
    /// Notified after each write. One task at most waits for it.
    written: Notify,
}

struct State {
    frames: QueuedFrames,
    /// The message that the client is sending.
    unfinished: Unfinished,
    /// The code to close with. Nothing is queued once it is set.
    closing: Option<CloseCode>,
    /// True once the connection is to be closed without waiting for the queued frames.
    is_shed: bool,
    /// True while the task of the connection does not know that the process drains.
    is_drain_pending: bool,
    /// True while a flush is scheduled.
    is_flush_scheduled: bool,
    /// Wakes the task of the connection.
    waker: Option<Waker>,
}

/// Why the task of a connection is woken.
#[derive(Debug, PartialEq)]
pub(crate) enum Wake {
    /// Frames are to be written, and then the connection is to be closed if there is a code.
    Queued(Option<CloseCode>),
    /// The process drains. Returned once.
    Draining,
}

impl State {
    fn wake_later(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// Wakes the task of the connection if it waits.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl SendQueue {
    pub(crate) fn new(id: u64, stream: Option<Arc<TcpStream>>, send_budget: &SendBudget) -> Self {
        let state = State {
            frames: QueuedFrames::new(send_budget),
            unfinished: Unfinished::new(send_budget),
            closing: None,
            is_shed: false,
            is_drain_pending: false,
            is_flush_scheduled: false,
            waker: None,
        };
        let (state, written) = (Mutex::new(state), Notify::new());
        Self { id, stream, send_budget: send_budget.clone(), state, written }
    }

    /// Queues a frame for this client only. Sheds the client if the queue is full.
    pub(crate) fn push(&self, frame: Frames) {
        let own_bytes = frame.len();
        if let Some(state) = self.enqueue(frame, own_bytes) {
            wake(state);
        }
    }

    /// Queues frames that other queues share.
    pub(crate) fn push_shared(&self, frames: &SharedFrames) {
        if let Some(state) = self.enqueue(frames.frames.clone(), 0) {
            wake(state);
        }
    }

    /// Queues shared frames without waking the task of the connection. Returns true if the caller
    /// has to schedule a [flush](Self::flush): none is scheduled yet.
    #[must_use]
    pub(crate) fn push_unflushed(&self, frames: &SharedFrames) -> bool {
        let state = self.enqueue(frames.frames.clone(), 0);
        state.is_some_and(|mut state| !std::mem::replace(&mut state.is_flush_scheduled, true))
    }

    /// Queues shared frames unless the queue is more than half full.
    pub(crate) fn push_droppable(&self, frames: &SharedFrames) {
        if self.lock().frames.bytes <= self.send_budget.max_bytes_each() / 2 {
            self.push_shared(frames);
        }
    }

    fn enqueue(&self, frames: Frames, own_bytes: usize) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.closing.is_some() {
            return None;
        }
        let bytes = state.unfinished.bytes + state.frames.bytes + frames.len() + ENTRY_BYTES;
        if bytes > self.send_budget.max_bytes_each() {
            drop(state);
            self.shed();
            return None;
        }
        state.frames.push(frames, own_bytes);
        Some(state)
    }

    /// Writes what the socket accepts now, and wakes the task of the connection for the rest.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        state.is_flush_scheduled = false;
        let end = state.frames.end();
        let stream = self.stream.as_ref();
        let is_written = stream.is_some_and(|stream| state.frames.write(stream, end).is_ok());
        self.written.notify_one();
        if !is_written
            || state.frames.is_control_frame_next
            || state.closing.is_some()
            || state.is_drain_pending
        {
            wake(state);
        }
    }

    /// Returns the end up to which to [write](Self::write) for everything that is queued now.
    pub(crate) fn end(&self) -> u64 {
        self.lock().frames.end()
    }

    /// Writes what the socket accepts now. Fails with `WouldBlock` if the frames up to an
    /// [end](Self::end) are not all written. For the task of the connection.
    pub(crate) fn write(&self, stream: &TcpStream, end: u64) -> io::Result<()> {
        let result = self.lock().frames.write(stream, end);
        self.written.notify_one();
        result
    }

    /// Writes what the socket accepts of a control frame, which goes before the next entry but not
    /// inside one.
    pub(crate) fn write_control(&self, stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        let written = if state.frames.is_inside_entry() {
            Err(ErrorKind::WouldBlock.into())
        } else {
            stream.try_write(bytes)
        };
        let is_complete = matches!(written, Ok(length) if length == bytes.len());
        state.frames.is_control_frame_next = !is_complete;
        written
    }

    /// Closes the connection of a slow consumer at once, with 4429. It has filled its own queue, or
    /// it is among those that [`shed`](crate::ws::shed) picks while all queues together are too
    /// long.
    pub(crate) fn shed(&self) {
        let mut state = self.lock();
        state.closing = Some(CloseCode::TOO_SLOW);
        state.frames.clear();
        if !std::mem::replace(&mut state.is_shed, true) {
            self.send_budget.count_slow_client();
        }
        wake(state);
    }

    pub(crate) fn is_shed(&self) -> bool {
        self.lock().is_shed
    }

    /// Resolves once the connection is shed.
    pub(crate) fn poll_shed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_shed {
            return Poll::Ready(());
        }
        state.wake_later(cx);
        Poll::Pending
    }

    /// Tells the task of the connection that the process drains.
    pub(crate) fn notify_drain(&self) {
        let mut state = self.lock();
        state.is_drain_pending = true;
        wake(state);
    }

    /// Notes the memory of a message that the client has not finished.
    pub(crate) fn set_unfinished(&self, bytes: usize) {
        self.lock().unfinished.set(bytes);
    }

    /// Returns the bytes that wait for a client that has accepted none since then, and those of a
    /// message that it has begun before and not finished.
    pub(crate) fn stalled_bytes(&self, since: Instant) -> usize {
        let state = self.lock();
        let queued = if state.frames.is_stalled_since(since) { state.frames.bytes } else { 0 };
        queued + state.unfinished.bytes_since(since)
    }

    /// Waits until the queue is at most a quarter full, so that a replay reads from the store only
    /// what the client is about to read.
    pub(crate) async fn has_space(&self) {
        loop {
            let written = self.written.notified();
            if self.is_mostly_empty() {
                return;
            }
            written.await;
        }
    }

    fn is_mostly_empty(&self) -> bool {
        let state = self.lock();
        state.closing.is_some() || state.frames.bytes <= self.send_budget.max_bytes_each() / 4
    }

    /// Closes the connection after everything that is queued.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut state = self.lock();
        state.closing.get_or_insert(code);
        wake(state);
    }

    /// Closes the connection because its token is not accepted any more. What is queued is dropped:
    /// the client gets nothing but the notice.
    pub(crate) fn revoke(&self, notice: Frames, code: CloseCode) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.frames.clear();
            let own_bytes = notice.len();
            state.frames.push(notice, own_bytes);
            state.closing = Some(code);
        }
        wake(state);
    }

    /// Waits until there is something to do.
    pub(crate) async fn wait(&self) -> Wake {
        poll_fn(|cx| {
            let mut state = self.lock();
            let frames = &state.frames;
            if !frames.is_empty() || frames.is_control_frame_next || state.closing.is_some() {
                return Poll::Ready(Wake::Queued(state.closing));
            }
            if std::mem::take(&mut state.is_drain_pending) {
                return Poll::Ready(Wake::Draining);
            }
            state.wake_later(cx);
            Poll::Pending
        })
        .await
    }

    /// Takes everything that is queued, for a client in this process.
    pub(crate) fn take(&self) -> Vec<Frames> {
        let mut state = self.lock();
        std::iter::from_fn(|| state.frames.pop_front()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
#[path = "tests/send_queue.rs"]
mod tests;
