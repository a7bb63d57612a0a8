//! WebSocket frames by their headers. Texts are neither checked nor parsed here. Servers must not
//! mask, and nobody here splits a message into fragments.

use anyhow::{bail, ensure};
use bytes::{Buf, Bytes, BytesMut};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A pong without a payload: the pings of the servers here have none.
pub(super) const PONG_FRAME: [u8; 6] = [FINAL | PONG, MASKED, 0, 0, 0, 0];

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// More than any server here sends in one frame; beyond it the stream is out of step.
const LONGEST: usize = 16 << 20;
const LONGEST_HEADER: usize = 10;

/// Appends a text frame of a client. The mask is zero, which costs the server as much as any other
/// and the client nothing.
pub(crate) fn encode(text: &[u8], to: &mut Vec<u8>) {
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

/// What a frame of a server means to a client.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(Bytes),
    Ping,
    Pong,
    /// With its code, if it has one.
    Close(Option<u16>),
}

/// Takes the next frame off what was read, if it is there as a whole.
pub(super) fn take(buffer: &mut BytesMut) -> anyhow::Result<Option<Frame>> {
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

/// The kind, the length of the header, and the length of the payload; nothing as long as the header
/// is not complete.
fn parse_header(bytes: &[u8]) -> anyhow::Result<Option<(u8, usize, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    ensure!(first & 0xF0 == FINAL && second & MASKED == 0, "not a whole frame of a server");
    let (header, length) = match (second, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (10, usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))?)
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (2, usize::from(*length)),
    };
    ensure!(length <= LONGEST, "a frame of {length} bytes");
    Ok(Some((first & 0x0F, header, length)))
}

/// Counts texts in a stream that is read in pieces, and keeps nothing of them.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// The beginning of a frame whose header is not complete.
    header: [u8; LONGEST_HEADER],
    header_length: usize,
    /// Of the frame that is being read.
    kind: u8,
    payload_left: usize,
}

/// What was in a piece.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Texts that ended in it.
    pub(super) texts: u64,
    pub(super) pings: u64,
    pub(super) has_closed: bool,
}

impl Counter {
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> anyhow::Result<Counted> {
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
                counted.note(self.kind);
            }
        }
        Ok(counted)
    }

    /// What follows the header, or nothing if even the header is not complete.
    fn read_header<'a>(&mut self, piece: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let known = self.header_length;
        let taken = piece.len().min(LONGEST_HEADER - known);
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
    fn note(&mut self, kind: u8) {
        match kind {
            TEXT => self.texts += 1,
            PING => self.pings += 1,
            CLOSE => self.has_closed = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![FINAL | kind];
        match payload.len() {
            length @ ..126 => frame.push(length as u8),
            length @ ..=0xFFFF => {
                frame.push(126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    fn stream() -> Vec<u8> {
        let lengths = [0, 1, 125, 126, 200, 65_535, 65_536, 70_000];
        let mut stream: Vec<u8> = lengths
            .into_iter()
            .flat_map(|length| server_frame(TEXT, &vec![b'x'; length]))
            .collect();
        stream.extend(server_frame(PING, b""));
        stream.extend(server_frame(TEXT, b"the last one"));
        stream.extend(server_frame(CLOSE, &4429_u16.to_be_bytes()));
        stream
    }

    #[test]
    fn frames_are_counted_however_the_stream_is_cut() {
        for size in [1, 2, 3, 7, 128, 4_096, 1 << 20] {
            let mut counter = Counter::default();
            let mut sum = Counted::default();
            for piece in stream().chunks(size) {
                let counted = counter.feed(piece).unwrap();
                sum.texts += counted.texts;
                sum.pings += counted.pings;
                sum.has_closed |= counted.has_closed;
            }
            assert_eq!(
                sum,
                Counted { texts: 9, pings: 1, has_closed: true },
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn frames_are_taken_one_by_one_once_they_are_whole() {
        let stream = stream();
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in stream.chunks(1_000) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = take(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames.len(), 11);
        assert_eq!(frames[6], Frame::Text(Bytes::from(vec![b'x'; 65_536])));
        assert_eq!(
            frames[8..],
            [Frame::Ping, Frame::Text("the last one".into()), Frame::Close(Some(4429))]
        );
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_refused() {
        let mut masked = Vec::new();
        encode(b"of a client", &mut masked);
        assert!(Counter::default().feed(&masked).is_err());
        assert!(take(&mut BytesMut::from(masked.as_slice())).is_err());
        assert!(Counter::default().feed(&[FINAL | TEXT, 127, 255, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_client_frame_says_how_long_it_is() {
        for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut frame = Vec::new();
            encode(&vec![b'x'; length], &mut frame);
            assert_eq!(frame.len(), header + 4 + length);
            assert_eq!((frame[0], frame[1] & MASKED), (FINAL | TEXT, MASKED));
        }
    }
}
