//! Frames of the server in their wire format.
//!
//! Frames of a server are not masked (RFC 6455, section 5.1), so all receivers share one encoding
//! including the header.

use axum::body::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The longest header of a frame without a mask.
const MAX_HEADER_BYTES: usize = 10;
/// Values of the second byte of a header when the length follows in two or in eight bytes.
const LENGTH_IN_TWO_BYTES: u8 = 126;
const LENGTH_IN_EIGHT_BYTES: u8 = 127;

/// One or more consecutive text frames. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frames(Bytes);

impl Frames {
    /// One frame with this text.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut wire = Vec::with_capacity(MAX_HEADER_BYTES + text.len());
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        #[expect(clippy::expect_used, reason = "writing to a vector does not fail")]
        header.format(text.len() as u64, &mut wire).expect("a vector accepts every write");
        wire.extend_from_slice(text.as_bytes());
        Self(wire.into())
    }

    /// Frames that are encoded already.
    pub(crate) fn from_wire(wire: Bytes) -> Self {
        Self(wire)
    }

    /// The length in bytes, headers included.
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
                LENGTH_IN_TWO_BYTES => {
                    (4, u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?).into())
                }
                LENGTH_IN_EIGHT_BYTES => {
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
#[path = "tests/frames.rs"]
mod tests;
