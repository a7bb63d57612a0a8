//! What the server sends, as it goes over the wire.
//!
//! Frames of a server are not masked (RFC 6455, section 5.1), so that one encoding, header
//! included, serves everybody who gets it.

use axum::body::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The longest header of a frame without a mask.
const MAX_HEADER: usize = 10;
/// What stands in the second byte of a header when the length follows in two bytes, or in eight.
const LENGTH_IN_TWO: u8 = 126;
const LENGTH_IN_EIGHT: u8 = 127;

/// One text frame or several, one behind the other, ready to be written. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frames(Bytes);

impl Frames {
    /// One frame with this text.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut wire = Vec::with_capacity(MAX_HEADER + text.len());
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        #[expect(clippy::expect_used, reason = "a vector takes everything")]
        header.format(text.len() as u64, &mut wire).expect("a header can be written to memory");
        wire.extend_from_slice(text.as_bytes());
        Self(wire.into())
    }

    /// What was encoded before.
    pub(crate) fn of_wire(wire: Bytes) -> Self {
        Self(wire)
    }

    /// How many bytes are written.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn wire(&self) -> &Bytes {
        &self.0
    }

    pub(crate) fn into_wire(self) -> Bytes {
        self.0
    }

    /// The texts in the frames.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (header, length) = match *rest.get(1)? {
                LENGTH_IN_TWO => (4, u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?).into()),
                LENGTH_IN_EIGHT => {
                    let length = u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?);
                    (10, usize::try_from(length).ok()?)
                }
                length => (2, length.into()),
            };
            let text = rest.get(header..header + length)?;
            rest = &rest[header + length..];
            std::str::from_utf8(text).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_headers_of_a_server_and_their_texts() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(length);
            let frame = Frames::of_text(&text);
            assert_eq!(&frame.wire()[..header.len()], header);
            let two = Frames::of_wire([&frame.wire()[..], &frame.wire()[..]].concat().into());
            assert_eq!(two.texts().collect::<Vec<_>>(), [&text, &text]);
        }
    }
}
