//! The socket itself: frames in, frames out, and the end.
//!
//! [`tungstenite`] reads, and has the last word on control frames. What the gateway has to say is
//! encoded already and shared with other sockets; it goes from the queue to the connection, as much
//! as waits with one system call, and without being copied before. The queue keeps both apart: no
//! frame begins inside another.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use parlance_core::ErrorCode;
use tokio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode as Code;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use crate::ws::protocol::{ClientFrame, ErrorFrame};
use crate::ws::send_queue::{CloseCode, SendQueue};

/// The largest frame of a client that is handled.
const MAX_FRAME: usize = 64 << 10;
/// The largest message that is read at all, so that the close for a frame over 64 KiB arrives.
const MAX_MESSAGE: usize = 2 << 20;
/// What is read at once. Every connection has a buffer of this size.
const READ_BUFFER: usize = 1 << 10;
/// The most that is held back, besides what is queued, from a client that does not read: the
/// answers to its pings.
const MAX_CONTROL_FRAMES: usize = 4 << 10;
/// How long one write may take, and how long a closing handshake.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The socket and the queue towards it.
pub(crate) struct Socket {
    wire: Wire,
    /// Reads, and writes control frames.
    protocol: Box<WebSocketContext>,
    /// Whether more may have been read than was made use of.
    has_read_ahead: bool,
}

/// What came from the client.
pub(crate) enum Incoming {
    Frame(Result<ClientFrame, ErrorFrame>),
    /// A sign of life without meaning.
    Nothing,
    TooBig,
    End,
}

impl Socket {
    /// A socket over a connection on which the handshake is done, and these bytes were read behind
    /// it.
    pub(crate) fn new(
        stream: Arc<TcpStream>,
        read_ahead: Vec<u8>,
        send_queue: Arc<SendQueue>,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_CONTROL_FRAMES)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let protocol =
            WebSocketContext::from_partially_read(read_ahead, Role::Server, Some(config));
        Self {
            wire: Wire { stream, send_queue },
            protocol: Box::new(protocol),
            has_read_ahead: true,
        }
    }

    /// The queue towards the client.
    pub(crate) fn send_queue(&self) -> &Arc<SendQueue> {
        &self.wire.send_queue
    }

    /// The next frame of the client that means something.
    pub(crate) async fn read_frame(&mut self) -> Incoming {
        loop {
            match self.read().await {
                Incoming::Nothing => {}
                incoming => return incoming,
            }
        }
    }

    /// What comes next from the client. Safe to cancel.
    pub(crate) async fn read(&mut self) -> Incoming {
        // A client that never stops sending lets others have their turn.
        tokio::task::coop::consume_budget().await;
        match poll_fn(|cx| self.poll_read(cx)).await {
            Ok(Message::Text(text)) if text.len() > MAX_FRAME => Incoming::TooBig,
            Ok(Message::Binary(bytes)) if bytes.len() > MAX_FRAME => Incoming::TooBig,
            Ok(Message::Text(text)) => Incoming::Frame(ClientFrame::parse(&text)),
            Ok(Message::Binary(_)) => {
                let sentence = "A frame must be text".to_owned();
                Incoming::Frame(Err(ErrorFrame {
                    reference: None,
                    code: ErrorCode::InvalidFrame,
                    sentence,
                }))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Nothing,
            Ok(Message::Close(_)) | Err(_) => Incoming::End,
        }
    }

    /// Writes what is queued by now; whether that worked. A client that does not read is cut
    /// meanwhile.
    pub(crate) async fn write(&mut self) -> bool {
        self.write_up_to(self.wire.send_queue.end()).await
    }

    async fn write_up_to(&mut self, end: u64) -> bool {
        match poll_fn(|cx| Poll::Ready(self.poll_write(end, cx))).await {
            Poll::Ready(written) => written.is_ok(),
            Poll::Pending => Box::pin(self.write_on(end)).await,
        }
    }

    /// The same for a client that has not taken everything at once.
    async fn write_on(&mut self, end: u64) -> bool {
        let write = poll_fn(|cx| match self.poll_write(end, cx) {
            Poll::Pending => {
                self.wire.send_queue.poll_cut(cx).map(|()| Err(ErrorKind::TimedOut.into()))
            }
            written => written,
        });
        match tokio::time::timeout(WRITE_LIMIT, write).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                self.wire.send_queue.cut_off();
                false
            }
        }
    }

    /// Asks whether the client is still there, before anything else that is queued; whether that
    /// could be written.
    pub(crate) async fn ping(&mut self) -> bool {
        self.say(Message::Ping(Bytes::new())).is_ok() && self.write_up_to(0).await
    }

    /// Writes what is queued and closes with this code.
    pub(crate) async fn close(mut self, code: CloseCode) {
        self.wire.send_queue.close(code);
        let farewell = async {
            self.write_all().await.map_err(Error::Io)?;
            let reason = Utf8Bytes::from_static("");
            self.say(Message::Close(Some(CloseFrame { code: Code::from(code.0), reason })))?;
            self.write_all().await.map_err(Error::Io)?;
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
                ready!(self.wire.stream.poll_read_ready(cx))?;
            }
            match self.protocol.read(&mut self.wire) {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_read_ahead = false
                }
                outcome => {
                    self.has_read_ahead = true;
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    async fn write_all(&mut self) -> io::Result<()> {
        let end = self.wire.send_queue.end();
        poll_fn(|cx| self.poll_write(end, cx)).await
    }

    /// Writes what is queued up to an end, and control frames.
    fn poll_write(&mut self, end: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let control = self.protocol.flush(&mut self.wire);
            let are_control_frames_written = goes_at_once(control.map_err(into_io))?;
            // Which may be in the way of those, or wait for them.
            let is_queue_written =
                goes_at_once(self.wire.send_queue.write(&self.wire.stream, end))?;
            if are_control_frames_written && is_queue_written {
                return Poll::Ready(Ok(()));
            }
            ready!(self.wire.stream.poll_write_ready(cx))?;
        }
    }

    /// Has a control frame written with the next write.
    fn say(&mut self, message: Message) -> Result<(), Error> {
        match self.protocol.write(&mut self.wire, message) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            outcome => outcome,
        }
    }
}

/// Whether something was done at once; not when it has to wait.
fn goes_at_once(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

/// A connection as the protocol wants it: what cannot be done at once is refused with `WouldBlock`.
struct Wire {
    stream: Arc<TcpStream>,
    send_queue: Arc<SendQueue>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_queue.write_control(&self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
