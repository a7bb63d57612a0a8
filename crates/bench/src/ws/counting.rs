//! A WebSocket that counts texts on a bare TCP stream.
//!
//! In *fan-out* 1,000 of them receive millions of events a second on the machine that also runs the
//! gateway. A copy and a UTF-8 check of each event, as tungstenite makes them, would take the
//! processor time that the gateway needs. Masked and fragmented frames are errors: no server of the
//! benchmark sends them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bounds the write of a pong.
const TIMEOUT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 256 << 10;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// A pong without a payload: no server of the benchmark sends a ping with one.
const PONG_FRAME: [u8; 6] = [FINAL | PONG, MASKED, 0, 0, 0, 0];
/// No server of the benchmark sends a larger frame: a larger length is read from a wrong position.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;
const MAX_HEADER_BYTES: usize = 10;

thread_local! {
    /// All sockets of a thread read into this buffer. They keep nothing of it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A socket that counts texts and needs no memory for them.
#[derive(Debug)]
pub struct CountingSocket {
    stream: TcpStream,
    counter: Counter,
    /// True if a ping was read and not answered yet.
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

/// Counts the texts of a stream that arrives in pieces.
#[derive(Debug, Default)]
pub struct Counter {
    /// The beginning of a frame whose header is incomplete.
    header: [u8; MAX_HEADER_BYTES],
    header_length: usize,
    /// The kind of the frame that is being read.
    kind: u8,
    payload_left: usize,
}

/// The frames that ended in a piece of the stream.
#[derive(Debug, Default, PartialEq)]
pub struct Counted {
    /// The number of texts.
    pub texts: u64,
    /// The number of pings.
    pub pings: u64,
    /// True if the server has closed the connection.
    pub has_closed: bool,
}

impl Counter {
    /// Reads the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) -> anyhow::Result<Counted> {
        let mut counted = Counted::default();
        while !piece.is_empty() {
            if self.payload_left == 0 {
                piece = self.read_header(piece)?;
                if self.header_length > 0 {
                    break;
                }
            }
            let skipped = self.payload_left.min(piece.len());
            piece = &piece[skipped..];
            self.payload_left -= skipped;
            if self.payload_left == 0 {
                counted.add(self.kind);
            }
        }
        Ok(counted)
    }

    /// Returns the bytes behind the header, or none if the header is incomplete.
    fn read_header<'a>(&mut self, piece: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let known = self.header_length;
        let taken = piece.len().min(MAX_HEADER_BYTES - known);
        self.header[known..known + taken].copy_from_slice(&piece[..taken]);
        let Some((kind, length, payload)) = parse_header(&self.header[..known + taken])? else {
            self.header_length = known + taken;
            return Ok(&[]);
        };
        self.header_length = 0;
        (self.kind, self.payload_left) = (kind, payload);
        Ok(&piece[length - known..])
    }
}

impl Counted {
    fn add(&mut self, kind: u8) {
        match kind {
            TEXT => self.texts += 1,
            PING => self.pings += 1,
            CLOSE => self.has_closed = true,
            _ => {}
        }
    }
}

/// Returns the kind, the length of the header, and the length of the payload, or `None` if the
/// header is incomplete.
fn parse_header(bytes: &[u8]) -> anyhow::Result<Option<(u8, usize, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    ensure!(first & 0xF0 == FINAL && second & MASKED == 0, "not an unmasked, unfragmented frame");
    let (header, length) = match (second, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (10, usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))?)
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (2, usize::from(*length)),
    };
    ensure!(length <= MAX_PAYLOAD_BYTES, "a frame of {length} bytes");
    Ok(Some((first & 0x0F, header, length)))
}
