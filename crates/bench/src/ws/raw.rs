//! WebSockets on a bare TCP stream, for the loads in which a client must cost next to nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{self, Counter, Frame, PONG_FRAME};

/// Bounds each write, and the wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 4 << 10;
const COUNTING_READ_BYTES: usize = 256 << 10;

thread_local! {
    /// Counting sockets read into this buffer. They keep nothing of it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; COUNTING_READ_BYTES]);
}

/// A socket that writes encoded frames and returns the texts of the server.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
    buffer: BytesMut,
    /// Frames that the server has not taken yet, of [`write_some`](Self::write_some).
    unsent: Vec<u8>,
    /// True if a ping was read and not answered yet.
    owes_pong: bool,
}

impl RawSocket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new(), unsent: Vec::new(), owes_pong: false }
    }

    /// Writes frames that are [encoded](super::encode).
    pub async fn write(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        let written = timeout(TIMEOUT, self.stream.write_all(frames)).await;
        written.context("the server does not read")?.context("cannot write")
    }

    /// Writes unsent and new frames as far as the server takes them, without waiting and from any
    /// thread. The rest stays unsent.
    pub fn write_some(&mut self, frames: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(frames);
        match self.stream.try_write(&self.unsent) {
            Ok(written) => drop(self.unsent.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// True if frames wait that the server has not taken.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Returns the bytes that the server has sent, if there are any, for an error message.
    pub fn try_read(&mut self) -> Option<String> {
        let mut bytes = [0; 1 << 10];
        let length = self.stream.try_read(&mut bytes).ok()?;
        (length > 0).then(|| String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Reads at least one byte into the buffer.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.owes_pong) {
            self.write(&PONG_FRAME).await?;
        }
        self.buffer.reserve(READ_BYTES);
        let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.buffer)).await;
        ensure!(read.context("nothing arrived")?? > 0, "the connection has ended");
        Ok(())
    }

    /// Returns the next text of the buffer.
    pub fn take(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            match frames::take(&mut self.buffer)? {
                Some(Frame::Text(text)) => return Ok(Some(text)),
                Some(Frame::Ping) => self.owes_pong = true,
                Some(Frame::Pong) => {}
                Some(Frame::Close(code)) => bail!("the server closed the connection: {code:?}"),
                None => return Ok(None),
            }
        }
    }
}

/// A socket that counts texts and needs no memory for them.
#[derive(Debug)]
pub struct CountingSocket {
    stream: TcpStream,
    counter: Counter,
    owes_pong: bool,
}

impl CountingSocket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, counter: Counter::default(), owes_pong: false }
    }

    /// Waits until something arrives and returns the number of texts that ended in it. Not cancel
    /// safe.
    pub async fn read(&mut self) -> anyhow::Result<u64> {
        if std::mem::take(&mut self.owes_pong) {
            timeout(TIMEOUT, self.stream.write_all(&PONG_FRAME)).await??;
        }
        let counted = poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)?);
                Poll::Ready(match buffer.filled() {
                    [] => Err(anyhow::anyhow!("the connection has ended")),
                    piece => self.counter.feed(piece),
                })
            })
        });
        let counted = counted.await?;
        ensure!(!counted.has_closed, "the server closed the connection");
        self.owes_pong = counted.pings > 0;
        Ok(counted.texts)
    }
}
