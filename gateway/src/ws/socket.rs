//! Reads and writes the frames of a socket, and closes it.
//!
//! [`tungstenite`] reads, and has the last word on control frames. All other frames of the server
//! are encoded already and shared with other sockets: they go from the send queue to the connection
//! without a copy, many with one system call. The queue keeps control frames out of half-written
//! frames.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use parlance_core::ErrorCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tungstenite::protocol::frame::coding::CloseCode as Code;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use crate::ws::close_code::CloseCode;
use crate::ws::protocol::{ClientFrame, ErrorFrame};
use crate::ws::send_queue::SendQueue;

/// The largest frame of a client that is handled.
const MAX_FRAME_BYTES: usize = 64 << 10;
/// The largest message that is read, so that the client gets the close frame for a frame over
/// [`MAX_FRAME_BYTES`].
const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// Every connection has a read buffer of this size.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// The most bytes of pongs that wait for a client that does not read.
const MAX_CONTROL_BYTES: usize = 4 << 10;
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A socket and its send queue.
pub(crate) struct Socket {
    wire: Wire,
    /// Reads, and writes control frames.
    protocol: Box<WebSocketContext>,
    /// True if the read buffer may hold another frame.
    has_read_ahead: bool,
}

/// What a client sends.
pub(crate) enum Incoming {
    Frame(Result<ClientFrame, ErrorFrame>),
    /// A ping or a pong.
    KeepAlive,
    TooBig,
    End,
}

impl Socket {
    /// Makes a socket after the WebSocket handshake. `read_ahead` was read behind the HTTP request.
    pub(crate) fn new(
        stream: Arc<TcpStream>,
        read_ahead: Vec<u8>,
        send_queue: Arc<SendQueue>,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_CONTROL_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let protocol =
            WebSocketContext::from_partially_read(read_ahead, Role::Server, Some(config));
        let wire = Wire { stream, send_queue };
        Self { wire, protocol: Box::new(protocol), has_read_ahead: true }
    }

    pub(crate) fn send_queue(&self) -> &Arc<SendQueue> {
        &self.wire.send_queue
    }

    /// Reads the next frame of the client. Safe to cancel.
    pub(crate) async fn read(&mut self) -> Incoming {
        // A client that never stops sending does not occupy the thread.
        tokio::task::coop::consume_budget().await;
        match poll_fn(|cx| self.poll_read(cx)).await {
            Ok(Message::Text(text)) if text.len() > MAX_FRAME_BYTES => Incoming::TooBig,
            Ok(Message::Binary(bytes)) if bytes.len() > MAX_FRAME_BYTES => Incoming::TooBig,
            Ok(Message::Text(text)) => Incoming::Frame(ClientFrame::parse(&text)),
            Ok(Message::Binary(_)) => {
                let (code, sentence) = (ErrorCode::InvalidFrame, "A frame must be text");
                Incoming::Frame(Err(ErrorFrame::with_sentence(None, code, sentence)))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::KeepAlive,
            Ok(Message::Close(_)) | Err(_) => Incoming::End,
        }
    }

    /// Writes what is queued now. Returns false if the connection has failed or the client is shed.
    pub(crate) async fn write(&mut self) -> bool {
        self.write_up_to(self.wire.send_queue.end()).await
    }

    async fn write_up_to(&mut self, end: u64) -> bool {
        match poll_fn(|cx| Poll::Ready(self.poll_write(end, cx))).await {
            Poll::Ready(written) => written.is_ok(),
            // Boxed, so that only a connection with a slow client has the memory.
            Poll::Pending => Box::pin(self.write_to_slow_client(end)).await,
        }
    }

    async fn write_to_slow_client(&mut self, end: u64) -> bool {
        let write = poll_fn(|cx| match self.poll_write(end, cx) {
            Poll::Pending => {
                self.wire.send_queue.poll_shed(cx).map(|()| Err(ErrorKind::TimedOut.into()))
            }
            written => written,
        });
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                self.wire.send_queue.shed();
                false
            }
        }
    }

    /// Sends a ping before everything that is queued. Returns false if it cannot be written.
    pub(crate) async fn ping(&mut self) -> bool {
        self.send_control(Message::Ping(Bytes::new())).is_ok() && self.write_up_to(0).await
    }

    /// Writes what is queued and closes the connection with this code.
    pub(crate) async fn close(mut self, code: CloseCode) {
        self.wire.send_queue.close(code);
        let close = async {
            self.write_all().await.map_err(Error::Io)?;
            let (code, reason) = (Code::from(code.0), Utf8Bytes::from_static(""));
            self.send_control(Message::Close(Some(CloseFrame { code, reason })))?;
            self.write_all().await.map_err(Error::Io)?;
            // The close frame of the client ends the loop.
            loop {
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
        };
        // The connection is closed in any case.
        let _: Result<Result<(), Error>, _> = timeout(CLOSE_TIMEOUT, close).await;
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
                result => {
                    self.has_read_ahead = true;
                    return Poll::Ready(result);
                }
            }
        }
    }

    async fn write_all(&mut self) -> io::Result<()> {
        let end = self.wire.send_queue.end();
        poll_fn(|cx| self.poll_write(end, cx)).await
    }

    /// Writes control frames and what is queued up to an end.
    fn poll_write(&mut self, end: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let control = self.protocol.flush(&mut self.wire);
            let is_control_written = completes_now(control.map_err(into_io))?;
            // The queue may hold up a control frame or wait for one: both are tried.
            let is_queue_written =
                completes_now(self.wire.send_queue.write(&self.wire.stream, end))?;
            if is_control_written && is_queue_written {
                return Poll::Ready(Ok(()));
            }
            ready!(self.wire.stream.poll_write_ready(cx))?;
        }
    }

    /// Hands a control frame to the protocol. The next write sends it.
    fn send_control(&mut self, message: Message) -> Result<(), Error> {
        match self.protocol.write(&mut self.wire, message) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }
}

/// Returns false if the operation would block.
fn completes_now(result: io::Result<()>) -> io::Result<bool> {
    match result {
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

/// The connection as [`tungstenite`] uses it: an operation that would wait fails with `WouldBlock`.
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
