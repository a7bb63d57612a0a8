//! The TCP connection below hyper, with what hyper lacks: deadlines of its own for idle connections
//! and for heads, and answers with a body to requests that hyper cannot parse.
//!
//! hyper answers such a request itself, with an empty body, and offers no hook for it. It writes
//! nothing else while no request is at the service, so the transport knows that answer. It fails
//! the write instead, and [`closing`](crate::http::closing) gives a proper answer.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parlance_core::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::exchange::{Ended, Exchange};
use crate::http::head::MAX_TARGET;
use crate::limits::{InputShare, TcpPermit};

/// The time in which a head must arrive, from its first byte. A new connection has it from the
/// start.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The time in which a client that does not read must take another byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The bytes of a head that are kept for the answer, should hyper refuse it.
const MAX_KEPT: usize = MAX_TARGET + (1 << 10);

/// A TCP connection that speaks HTTP.
pub(crate) struct Transport {
    /// The connection. `None` once a WebSocket or [`Drop`] has taken it.
    connection: Option<(TcpStream, TcpPermit)>,
    exchange: Arc<Exchange>,
    /// How long the connection may be idle.
    keep_alive: Duration,
    /// The beginning of the head that is being read. Empty while the connection is idle.
    head: Vec<u8>,
    /// The bytes of that head, beyond what is kept of it here.
    head_length: usize,
    /// Counts the head until its request is answered.
    share: InputShare,
    /// The end of what the connection waits for: a head, its first byte, or a client that reads.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// True while the client does not read.
    is_stalled: bool,
    refused: Option<ErrorCode>,
}

impl Transport {
    pub(super) fn new(
        stream: TcpStream,
        permit: TcpPermit,
        share: InputShare,
        exchange: Arc<Exchange>,
        keep_alive: Duration,
    ) -> Self {
        let deadline = Instant::now() + HEAD_TIMEOUT;
        Self {
            connection: Some((stream, permit)),
            exchange,
            keep_alive,
            head: Vec::new(),
            head_length: 0,
            share,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            is_stalled: false,
            refused: None,
        }
    }

    /// Takes the connection for a WebSocket. The permit counts it until it is closed.
    pub(crate) fn into_connection(mut self) -> Option<(TcpStream, TcpPermit)> {
        self.connection.take()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.connection.as_mut().map(|(stream, _)| Pin::new(stream));
        stream.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Takes note of bytes of a head. No bytes are the end of what the client sends.
    fn note_head(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() && !self.head.is_empty() {
            self.refused = Some(ErrorCode::BadRequest);
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if self.head.is_empty() {
            // Empty lines before a request are no part of it (RFC 9112 2.2).
            let is_line_end = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
            bytes = &bytes[bytes.iter().take_while(is_line_end).count()..];
            if !bytes.is_empty() {
                self.deadline = Instant::now() + HEAD_TIMEOUT;
            }
        }
        let room = MAX_KEPT - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.head_length += bytes.len();
        self.share.grow_to(self.head_length).map_err(|code| {
            self.refused = Some(code);
            ErrorKind::OutOfMemory.into()
        })
    }

    /// Returns true if the deadline has passed. Else the task is woken then.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.timer.deadline() != self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Writes, unless this is the answer of hyper itself.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        start: &[u8],
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.exchange.is_waiting() {
            self.refused = Some(self.reason(start));
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        let written = write(self.stream()?, cx);
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.deadline = Instant::now() + WRITE_TIMEOUT;
        }
        if self.is_overdue(cx) { Poll::Ready(Err(ErrorKind::TimedOut.into())) } else { written }
    }

    /// The reason for an answer of hyper, of which this is the start.
    fn reason(&self, start: &[u8]) -> ErrorCode {
        let has_long_target =
            || self.head.get(..MAX_TARGET).is_some_and(|start| !start.contains(&b'\n'));
        match start.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
            Some(b"414") => ErrorCode::UriTooLong,
            Some(b"431") if has_long_target() => ErrorCode::UriTooLong,
            Some(b"431") => ErrorCode::HeadersTooLarge,
            _ => ErrorCode::BadRequest,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = this.stream()?.poll_read(cx, buffer);
        if !this.exchange.is_waiting() {
            return read;
        }
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(this.note_head(&buffer.filled()[before..])),
            Poll::Pending if this.is_overdue(cx) => {
                this.refused = (!this.head.is_empty()).then_some(ErrorCode::RequestTimeout);
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
            read => read,
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, bytes, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let start = slices.first().map_or(&[][..], |slice| slice);
        self.get_mut()
            .poll_write_with(cx, start, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.finish() {
            this.head = Vec::new();
            this.head_length = 0;
            this.share.clear();
            this.deadline = Instant::now() + this.keep_alive;
            // hyper may have read already, and then it does not read again before it is woken.
            let _ = this.is_overdue(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(cx)
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some((stream, permit)) = self.connection.take() {
            let (head, refused) = (std::mem::take(&mut self.head), self.refused);
            self.exchange.hand_back(Ended { stream, permit, head, refused });
        }
    }
}
