//! Reads WebSocket frames of a server by their headers, and writes frames of a client. Texts are
//! neither validated nor parsed. Masked and fragmented frames are errors: no server of the benchmark
//! sends them.

use anyhow::{bail, ensure};
use bytes::{Buf, Bytes, BytesMut};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A pong without a payload: no server of the benchmark sends a ping with one.
pub(super) const PONG_FRAME: [u8; 6] = [FINAL | PONG, MASKED, 0, 0, 0, 0];

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// No server of the benchmark sends a larger frame: a larger length is read from a wrong position.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;
const MAX_HEADER_BYTES: usize = 10;

/// Appends a text frame of a client. Its mask is zero: the server unmasks it like any other, and
/// the client need not mask it.
pub fn encode(text: &[u8], to: &mut Vec<u8>) {
    to.push(FINAL | TEXT);
    match text.len() {
        length @ ..126 => to.push(MASKED | length as u8),
        length @ ..=0xFFFF => {
            to.push(MASKED | 126);
            to.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            to.push(MASKED | 127);
            to.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(text);
}

/// A frame of a server.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// A text.
    Text(Bytes),
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// Removes the next frame from a buffer. Returns `None` until the buffer has all of it.
pub fn take(buffer: &mut BytesMut) -> anyhow::Result<Option<Frame>> {
    let Some((kind, header, length)) = parse_header(buffer)? else { return Ok(None) };
    if buffer.len() < header + length {
        buffer.reserve(header + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(header);
    let payload = buffer.split_to(length).freeze();
    Ok(Some(match kind {
        TEXT => Frame::Text(payload),
        PING => Frame::Ping,
        PONG => Frame::Pong,
        CLOSE => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        kind => bail!("a frame of an unknown kind: {kind}"),
    }))
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
