//! A WebSocket of a client, on a bare TCP stream.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::frames::{self, Counter, Frame, PONG_FRAME};

/// How long a server may take for anything.
const DEADLINE: Duration = Duration::from_secs(30);
/// Read at once by sockets that look at what they read.
const CHUNK: usize = 4 << 10;
/// Read at once by sockets that only count.
const LARGE_CHUNK: usize = 256 << 10;
const LONGEST_ANSWER: usize = 16 << 10;

thread_local! {
    /// What counting sockets read into: they keep nothing of it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGE_CHUNK]);
}

/// Where a server takes sockets.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
}

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    buffer: BytesMut,
    /// A ping was read and not answered yet.
    owes_pong: bool,
}

impl Door {
    /// Opens a socket, from another address than the usual one if told so.
    pub(crate) async fn open(
        &self,
        from: Option<Ipv4Addr>,
        token: Option<&str>,
    ) -> anyhow::Result<Socket> {
        let opening = timeout(DEADLINE, self.open_in_time(from, token)).await;
        opening.context("the server did not answer")?
    }

    async fn open_in_time(
        &self,
        from: Option<Ipv4Addr>,
        token: Option<&str>,
    ) -> anyhow::Result<Socket> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind((from, 0).into())?;
        }
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(self.request(token).as_bytes()).await?;
        let mut buffer = BytesMut::with_capacity(1 << 10);
        let end = loop {
            ensure!(stream.read_buf(&mut buffer).await? > 0, "the connection has ended");
            match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(position) => break position + 4,
                None => ensure!(buffer.len() < LONGEST_ANSWER, "no answer to the upgrade"),
            }
        };
        let answer = buffer.split_to(end);
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            let status = answer.as_ref().split(|byte| *byte == b'\r').next().unwrap_or_default();
            bail!("the upgrade was answered with {}", String::from_utf8_lossy(status));
        }
        Ok(Socket { stream, buffer, owes_pong: false })
    }

    fn request(&self, token: Option<&str>) -> String {
        let Self { address, path } = self;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            authorization.unwrap_or_default()
        )
    }
}

impl Socket {
    /// Writes frames that are [encoded](super::encode).
    pub(crate) async fn write(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        let written = timeout(DEADLINE, self.stream.write_all(frames)).await;
        written.context("the server does not read")?.context("cannot write")
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        let mut encoded = Vec::new();
        frames::encode(frame.to_string().as_bytes(), &mut encoded);
        self.write(&encoded).await
    }

    /// Reads what there is, or waits for something.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.owes_pong) {
            self.write(&PONG_FRAME).await?;
        }
        self.buffer.reserve(CHUNK);
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.buffer)).await;
        ensure!(read.context("nothing came")?? > 0, "the connection has ended");
        Ok(())
    }

    /// The next text of those that were read.
    pub(crate) fn take(&mut self) -> anyhow::Result<Option<Bytes>> {
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

    /// The next text.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some(text) = self.take()? {
                return Ok(text);
            }
            self.fill().await?;
        }
    }

    /// Subscribes to rooms, which has to succeed; the head of each.
    pub(crate) async fn subscribe(&mut self, rooms: &[i64]) -> anyhow::Result<Vec<i64>> {
        let mut heads = Vec::new();
        for room in rooms {
            self.send(&json!({"type": "subscribe", "room_id": room, "ref": "subscribe"})).await?;
            let answer = loop {
                let frame: Value = serde_json::from_slice(&self.next().await?)?;
                if frame["ref"] == "subscribe" {
                    break frame;
                }
            };
            ensure!(answer["type"] == "success", "subscribing was answered with {answer}");
            heads.push(answer["head_seq"].as_i64().context("a subscription has a head")?);
        }
        Ok(heads)
    }

    /// From now on is only written to. Everything that was read must have been taken.
    pub(crate) fn into_out(self) -> anyhow::Result<OutSocket> {
        ensure!(self.buffer.is_empty(), "something was read and not taken");
        Ok(OutSocket { stream: self.stream.into_std()?, behind: Vec::new() })
    }

    /// From now on only counts.
    pub(crate) fn into_counting(self) -> anyhow::Result<CountingSocket> {
        let mut counter = Counter::default();
        let counted = counter.feed(&self.buffer)?;
        ensure!(!counted.has_closed, "the server closed the connection");
        let owes_pong = self.owes_pong || counted.pings > 0;
        Ok(CountingSocket { stream: self.stream, counter, uncollected: counted.texts, owes_pong })
    }
}

/// A socket that is only written to, from any thread and without waiting. What the server says is
/// not read, so it should say nothing.
#[derive(Debug)]
pub(crate) struct OutSocket {
    stream: std::net::TcpStream,
    /// What the server has not taken yet.
    behind: Vec<u8>,
}

impl OutSocket {
    /// Writes what waits, and frames that are [encoded](super::encode) behind it, as far as the
    /// server takes them.
    pub(crate) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.behind.is_empty() {
            let written = self.write_some(frames)?;
            self.behind.extend_from_slice(&frames[written..]);
        } else {
            self.behind.extend_from_slice(frames);
            let behind = std::mem::take(&mut self.behind);
            let written = self.write_some(&behind)?;
            self.behind = behind;
            self.behind.drain(..written);
        }
        Ok(())
    }

    /// Whether something waits that the server has not taken.
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// What the server has said, if it has said anything: a few frames of it, headers included.
    pub(crate) fn heard(&mut self) -> Option<String> {
        let mut heard = [0; 1 << 10];
        let length = self.stream.read(&mut heard).ok()?;
        (length > 0).then(|| String::from_utf8_lossy(&heard[..length]).into_owned())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// A socket that counts texts, and holds no memory for them.
#[derive(Debug)]
pub(crate) struct CountingSocket {
    stream: TcpStream,
    counter: Counter,
    /// Texts that were read before anybody asked.
    uncollected: u64,
    owes_pong: bool,
}

impl CountingSocket {
    /// Reads what there is, or waits for something, for as long as it takes; the number of texts
    /// that ended in it. Not safe to cancel.
    pub(crate) async fn read(&mut self) -> anyhow::Result<u64> {
        if std::mem::take(&mut self.owes_pong) {
            timeout(DEADLINE, self.stream.write_all(&PONG_FRAME)).await??;
        }
        if self.uncollected > 0 {
            return Ok(std::mem::take(&mut self.uncollected));
        }
        let counted = poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)?);
                std::task::Poll::Ready(match buffer.filled() {
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
