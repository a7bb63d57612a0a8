//! Frames of the server in their wire format.
//!
//! Frames of a server are not masked (RFC 6455, section 5.1), so all receivers share one encoding
//! including the header.

use std::io::Cursor;

use axum::body::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The longest header of a frame without a mask.
const MAX_HEADER_BYTES: usize = 10;

/// One or more consecutive text frames. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) wire: Bytes,
}

impl Frames {
    /// Encodes a text as one frame.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut wire = Vec::with_capacity(MAX_HEADER_BYTES + text.len());
        encode(OpCode::Data(Data::Text), text.as_bytes(), &mut wire);
        Self { wire: wire.into() }
    }

    /// Returns the length in bytes, headers included.
    pub(crate) fn len(&self) -> usize {
        self.wire.len()
    }

    /// Decodes the texts of the frames.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let mut cursor = Cursor::new(&self.wire);
        std::iter::from_fn(move || {
            let (_, length) = FrameHeader::parse(&mut cursor).ok()??;
            let start = usize::try_from(cursor.position()).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            cursor.set_position(end as u64);
            std::str::from_utf8(self.wire.get(start..end)?).ok()
        })
    }
}

/// Appends one whole frame.
pub(super) fn encode(opcode: OpCode, payload: &[u8], wire: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    #[expect(clippy::expect_used, reason = "writing to a vector does not fail")]
    header.format(payload.len() as u64, wire).expect("a vector accepts every write");
    wire.extend_from_slice(payload);
}

#[cfg(test)]
#[path = "tests/frames.rs"]
mod tests;
