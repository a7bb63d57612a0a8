//! The socket itself: frames in, frames out, and the end.
//!
//! [`tungstenite`] reads, and has the last word on control frames. What the gateway has to say is encoded already and shared with
//! other sockets; it goes from there to the connection, as much as waits with one system call, and without being copied before.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use parlance_core::ErrorCode;
use tokio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode as Code;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use super::frames::Frames;
use super::outbound::{CloseCode, Outbound};
use super::protocol::{ClientFrame, Refusal};

/// The largest frame of a client that is handled.
const MAX_FRAME: usize = 64 << 10;
/// The largest message that is read at all, so that the close for a frame over 64 KiB arrives.
const MAX_MESSAGE: usize = 2 << 20;
/// What is read at once. Every connection has a buffer of this size.
const READ_BUFFER: usize = 1 << 10;
/// The most that is held back, besides what is queued, from a client that does not read: the answers to its pings.
const MAX_CONTROL_FRAMES: usize = 4 << 10;
/// Pieces that are written with one system call.
const MAX_GATHERED: usize = 64;
/// How long one write may take, and how long a closing handshake.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The socket and the queue towards it.
pub(super) struct Socket {
    stream: TcpStream,
    /// Reads; writes control frames, and only while nothing of the gateway's own is half written.
    protocol: Box<WebSocketContext>,
    /// Whether more may have been read than was made use of.
    has_read_ahead: bool,
    /// What was taken from the queue and is not written yet.
    unwritten: VecDeque<Frames>,
    /// How many bytes of the first one are written.
    written_of_first: usize,
    pub(super) outbound: Arc<Outbound>,
}

/// What came from the client.
pub(super) enum Incoming {
    Frame(Result<ClientFrame, Refusal>),
    /// A sign of life without meaning.
    Nothing,
    TooBig,
    End,
}

impl Socket {
    /// A socket over a connection on which the handshake is done, and these bytes were read behind it.
    pub(super) fn new(stream: TcpStream, read_ahead: Vec<u8>, outbound: Arc<Outbound>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_CONTROL_FRAMES)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let protocol = WebSocketContext::from_partially_read(read_ahead, Role::Server, Some(config));
        Self {
            stream,
            protocol: Box::new(protocol),
            has_read_ahead: true,
            unwritten: VecDeque::new(),
            written_of_first: 0,
            outbound,
        }
    }

    /// The next frame of the client that means something.
    pub(super) async fn read_frame(&mut self) -> Incoming {
        loop {
            match self.read().await {
                Incoming::Nothing => {}
                incoming => return incoming,
            }
        }
    }

    /// What comes next from the client. Safe to cancel.
    pub(super) async fn read(&mut self) -> Incoming {
        // A client that never stops sending lets others have their turn.
        tokio::task::coop::consume_budget().await;
        match poll_fn(|cx| self.poll_read(cx)).await {
            Ok(Message::Text(text)) if text.len() > MAX_FRAME => Incoming::TooBig,
            Ok(Message::Binary(bytes)) if bytes.len() > MAX_FRAME => Incoming::TooBig,
            Ok(Message::Text(text)) => Incoming::Frame(ClientFrame::parse(&text)),
            Ok(Message::Binary(_)) => {
                let sentence = "A frame must be text".to_owned();
                Incoming::Frame(Err(Refusal { reference: None, code: ErrorCode::InvalidFrame, sentence }))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Nothing,
            Ok(Message::Close(_)) | Err(_) => Incoming::End,
        }
    }

    /// Writes frames; whether that worked. A client that does not read is cut meanwhile.
    pub(super) async fn write(&mut self, frames: VecDeque<Frames>) -> bool {
        self.enqueue(frames);
        let is_written = match poll_fn(|cx| Poll::Ready(self.poll_write(cx))).await {
            Poll::Ready(written) => written.is_ok(),
            Poll::Pending => Box::pin(self.write_on()).await,
        };
        self.outbound.note_written();
        is_written
    }

    /// The same for a client that has not taken everything at once.
    async fn write_on(&mut self) -> bool {
        self.outbound.note_stalled();
        let write = poll_fn(|cx| match self.poll_write(cx) {
            Poll::Pending => self.outbound.poll_cut(cx).map(|()| Err(ErrorKind::TimedOut.into())),
            written => written,
        });
        match tokio::time::timeout(WRITE_LIMIT, write).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                self.outbound.cut_off();
                false
            }
        }
    }

    /// Asks whether the client is still there; whether that could be written.
    pub(super) async fn ping(&mut self) -> bool {
        self.say(Message::Ping(Bytes::new())).is_ok()
            && matches!(tokio::time::timeout(WRITE_LIMIT, self.flush()).await, Ok(Ok(())))
    }

    /// Writes what is queued and closes with this code.
    pub(super) async fn close(mut self, code: CloseCode) {
        self.outbound.close(code);
        let frames = self.outbound.take();
        // What was cut is lost to the client, but not in the middle of a frame.
        self.unwritten.truncate(usize::from(self.written_of_first > 0));
        self.enqueue(frames);
        let farewell = async {
            poll_fn(|cx| self.poll_write(cx)).await.map_err(Error::Io)?;
            let reason = Utf8Bytes::from_static("");
            self.say(Message::Close(Some(CloseFrame { code: Code::from(code.0), reason })))?;
            self.flush().await?;
            // The client's own close frame ends the connection in good order.
            loop {
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
        };
        // A client that does not take its leave in time is left.
        let _: Result<Result<(), Error>, _> = tokio::time::timeout(CLOSE_LIMIT, farewell).await;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        loop {
            if !self.has_read_ahead {
                ready!(self.stream.poll_read_ready(cx))?;
            }
            match self.protocol.read(&mut NonBlocking(&self.stream)) {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.has_read_ahead = false,
                outcome => {
                    self.has_read_ahead = true;
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    fn enqueue(&mut self, frames: VecDeque<Frames>) {
        if self.unwritten.is_empty() {
            self.unwritten = frames;
        } else {
            self.unwritten.extend(frames);
        }
    }

    /// Writes everything that is to be written, behind the control frames.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written_of_first == 0 && !self.unwritten.is_empty() {
            ready!(self.poll_flush(cx)).map_err(io::Error::other)?;
        }
        while !self.unwritten.is_empty() {
            match self.try_write() {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(bytes) => self.note_written(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // An idle connection has no memory to spare.
        self.unwritten = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    /// Writes as much as goes at once; how many bytes that were.
    fn try_write(&self) -> io::Result<usize> {
        let mut pieces = self.unwritten.iter().map(Frames::wire);
        let rest_of_first = pieces.next().map_or(&[][..], |first| &first[self.written_of_first..]);
        if self.unwritten.len() == 1 {
            return self.stream.try_write(rest_of_first);
        }
        let mut slices = [IoSlice::new(rest_of_first); MAX_GATHERED];
        let others = slices[1..].iter_mut().zip(pieces);
        let count = 1 + others.map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        self.stream.try_write_vectored(&slices[..count])
    }

    fn note_written(&mut self, bytes: usize) {
        self.written_of_first += bytes;
        while let Some(first) = self.unwritten.front().filter(|first| first.len() <= self.written_of_first) {
            self.written_of_first -= first.len();
            self.unwritten.pop_front();
        }
    }

    /// Has a control frame written with the next flush.
    fn say(&mut self, message: Message) -> Result<(), Error> {
        match self.protocol.write(&mut NonBlocking(&self.stream), message) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            outcome => outcome,
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match self.protocol.flush(&mut NonBlocking(&self.stream)) {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// A connection as the protocol wants it: what cannot be done at once is refused with `WouldBlock`.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
