//! Reads and writes the frames of a socket, and closes it.
//!
//! All frames of the server but control frames are encoded already and shared with other sockets:
//! they go from the send queue to the connection without a copy, many with one system call. The
//! queue keeps control frames out of half-written frames.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use parlance_core::ErrorCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tungstenite::protocol::frame::coding::{Control, OpCode};

use crate::ws::close_code::CloseCode;
use crate::ws::decoder::{Decoder, Message};
use crate::ws::protocol::{ClientFrame, ErrorFrame};
use crate::ws::send_queue::SendQueue;
use crate::ws::{ending, frames};

/// Beyond this number of bytes of control frames that wait to be written, nothing is read.
const MAX_CONTROL_BYTES: usize = 4 << 10;
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the client may take to read what is queued, and then to end the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A socket and its send queue.
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    send_queue: Arc<SendQueue>,
    decoder: Decoder,
    /// What the send queue knows of the unfinished message, in bytes.
    noted_unfinished: usize,
    /// Pings, pongs and the close frame, as far as they are not written.
    control: Vec<u8>,
    /// True once the client has sent its last frame: a close frame, or one that breaks the
    /// protocol.
    has_read_last: bool,
}

/// What a client sends.
pub(crate) enum Incoming {
    Frame(Result<ClientFrame, ErrorFrame>),
    /// A ping or a pong.
    KeepAlive,
    /// The last frame: a message that is too large.
    TooBig,
    /// The last frame. The connection is to be closed with this code: that of the client's close
    /// frame, or that of its mistake.
    Close(CloseCode),
    /// The connection has ended without a close frame.
    End,
}

impl Socket {
    /// Makes a socket after the WebSocket handshake. `read_ahead` was read behind the HTTP request.
    pub(crate) fn new(
        stream: Arc<TcpStream>,
        read_ahead: Bytes,
        send_queue: Arc<SendQueue>,
    ) -> Self {
        Self {
            stream,
            send_queue,
            decoder: Decoder::new(&read_ahead),
            noted_unfinished: 0,
            control: Vec::new(),
            has_read_last: false,
        }
    }

    pub(crate) fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// Reads the next frame of the client. Not to be called after the last one. Safe to cancel.
    pub(crate) async fn read(&mut self) -> Incoming {
        // A client that never stops sending does not occupy the thread.
        tokio::task::coop::consume_budget().await;
        let Some(message) = poll_fn(|cx| self.poll_read(cx)).await else { return Incoming::End };
        match message {
            Ok(Message::Text(text)) => Incoming::Frame(ClientFrame::parse(&text)),
            Ok(Message::Binary) => {
                let (code, sentence) = (ErrorCode::InvalidFrame, "A frame must be text");
                Incoming::Frame(Err(ErrorFrame::with_sentence(None, code, sentence)))
            }
            Ok(Message::Ping(payload)) => {
                self.push_control(Control::Pong, &payload);
                // The next write tries again.
                let _ = self.write_control();
                Incoming::KeepAlive
            }
            Ok(Message::Pong) => Incoming::KeepAlive,
            Err(CloseCode::TOO_BIG) => Incoming::TooBig,
            Ok(Message::Close(code)) | Err(code) => Incoming::Close(code),
        }
    }

    /// Reads the next message. None is the end of the connection, an error is the code to close
    /// with.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, CloseCode>>> {
        loop {
            if self.control.len() > MAX_CONTROL_BYTES && ready!(self.poll_write(0, cx)).is_err() {
                return Poll::Ready(None);
            }
            let decoded = self.decoder.decode();
            self.note_unfinished();
            if let Some(message) = decoded.transpose() {
                self.has_read_last = matches!(message, Ok(Message::Close(_)) | Err(_));
                return Poll::Ready(Some(message));
            }
            match ready!(self.poll_read_input(cx)) {
                Ok(0) => return Poll::Ready(None),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(None),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn poll_read_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_read_ready(cx))?;
        Poll::Ready(self.stream.try_read_buf(self.decoder.space()))
    }

    fn note_unfinished(&mut self) {
        let bytes = self.decoder.unfinished_bytes();
        if bytes != self.noted_unfinished {
            self.noted_unfinished = bytes;
            self.send_queue.set_unfinished(bytes);
        }
    }

    /// Writes what is queued now. Returns false if the connection has failed or the client is shed.
    pub(crate) async fn write(&mut self) -> bool {
        self.write_up_to(self.send_queue.end()).await
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
                self.send_queue.poll_shed(cx).map(|()| Err(ErrorKind::TimedOut.into()))
            }
            written => written,
        });
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                self.send_queue.shed();
                false
            }
        }
    }

    /// Sends a ping before everything that is queued. Returns false if it cannot be written.
    pub(crate) async fn ping(&mut self) -> bool {
        self.push_control(Control::Ping, &[]);
        self.write_up_to(0).await
    }

    /// Writes what is queued and a close frame, and ends the connection.
    pub(crate) async fn close(mut self, code: CloseCode) {
        self.send_queue.close(code);
        // The connection is closed in any case.
        if let Ok(Ok(())) = timeout(CLOSE_TIMEOUT, self.write_close(code)).await {
            let _ = timeout(CLOSE_TIMEOUT, self.end()).await;
        }
    }

    async fn write_close(&mut self, code: CloseCode) -> io::Result<()> {
        self.write_all().await?;
        self.push_control(Control::Close, &code.payload());
        self.write_all().await
    }

    async fn write_all(&mut self) -> io::Result<()> {
        let end = self.send_queue.end();
        poll_fn(|cx| self.poll_write(end, cx)).await
    }

    /// Reads up to the last frame of the client, which is not handled, and ends the connection.
    async fn end(&mut self) {
        while !self.has_read_last && poll_fn(|cx| self.poll_read(cx)).await.is_some() {}
        ending::end(&self.stream).await;
    }

    /// Writes control frames and what is queued up to an end.
    fn poll_write(&mut self, end: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_control_written = completes_now(self.write_control())?;
            // The queue may hold up a control frame or wait for one: both are tried.
            let is_queue_written = completes_now(self.send_queue.write(&self.stream, end))?;
            if is_control_written && is_queue_written {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream.poll_write_ready(cx))?;
        }
    }

    fn push_control(&mut self, control: Control, payload: &[u8]) {
        frames::encode(OpCode::Control(control), payload, &mut self.control);
    }

    /// Writes control frames without waiting. Fails with `WouldBlock` if some are left.
    fn write_control(&mut self) -> io::Result<()> {
        while !self.control.is_empty() {
            match self.send_queue.write_control(&self.stream, &self.control)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => drop(self.control.drain(..written)),
            }
        }
        // An idle connection keeps no memory.
        self.control = Vec::new();
        Ok(())
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
