//! Decodes the frames of a client into messages (RFC 6455, section 5).
//!
//! Each frame is checked as soon as its header has arrived, and a text as it arrives. Memory is
//! taken for what has arrived, not for what a header announces, and never for more than the largest
//! message.

use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::ws::close_code::CloseCode;
use crate::ws::partial_message::{PartialMessage, unmask};

/// The longest payload of a control frame (section 5.5).
const MAX_CONTROL_PAYLOAD: usize = 125;
/// The bytes that are read at once.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// A message or a control frame of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Text(String),
    /// The content is not kept.
    Binary,
    Ping(Bytes),
    Pong,
    /// Nothing is decoded after it.
    Close(CloseCode),
}

/// The state between two frames or inside one. Takes no memory while the client is idle.
#[derive(Default)]
pub(super) struct Decoder {
    /// What has arrived and is not decoded yet.
    input: BytesMut,
    /// The data message that is arriving.
    message: Option<PartialMessage>,
}

impl Decoder {
    /// Starts with what was read behind the HTTP request.
    pub(super) fn new(read_ahead: &[u8]) -> Self {
        Self { input: BytesMut::from(read_ahead), message: None }
    }

    /// Returns a buffer with space, to which the next bytes of the client are to be appended.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        self.input.reserve(READ_BUFFER_BYTES);
        &mut self.input
    }

    /// Returns the memory of the unfinished message.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, PartialMessage::memory)
    }

    /// Decodes the next message, if all of it has arrived. An error is the code to close with;
    /// nothing can be decoded after it.
    pub(super) fn decode(&mut self) -> Result<Option<Message>, CloseCode> {
        let decoded = self.decode_input();
        if decoded.is_err() {
            *self = Self::default();
        } else if self.input.is_empty() {
            // An idle connection keeps no memory.
            self.input = BytesMut::new();
        }
        decoded
    }

    fn decode_input(&mut self) -> Result<Option<Message>, CloseCode> {
        loop {
            if let Some(mut message) = self.message.take() {
                message.take_from(&mut self.input);
                if message.is_complete() {
                    let text = message.finish()?;
                    return Ok(Some(text.map_or(Message::Binary, Message::Text)));
                }
                message.check_text()?;
                let is_inside_frame = message.is_inside_frame();
                self.message = Some(message);
                if is_inside_frame {
                    return Ok(None);
                }
            }
            let Some(header) = Header::parse(&self.input)? else { return Ok(None) };
            match header.opcode {
                OpCode::Data(data) => self.begin_frame(data, &header)?,
                OpCode::Control(control) => return self.take_control(control, &header),
            }
        }
    }

    /// Begins a data frame: the first one of a message, or a further one.
    fn begin_frame(&mut self, data: Data, header: &Header) -> Result<(), CloseCode> {
        let message = match (data, &mut self.message) {
            (Data::Continue, Some(message)) => message,
            (Data::Text | Data::Binary, none @ None) => {
                none.insert(PartialMessage::new(data == Data::Text))
            }
            _ => return Err(CloseCode::PROTOCOL_ERROR),
        };
        message.begin_frame(header.is_final, header.length, header.mask)?;
        self.input.advance(header.size);
        Ok(())
    }

    /// Decodes a control frame, if all of it has arrived.
    fn take_control(
        &mut self,
        control: Control,
        header: &Header,
    ) -> Result<Option<Message>, CloseCode> {
        let size = header.size + header.length;
        if self.input.len() < size {
            return Ok(None);
        }
        let mut payload = self.input.split_to(size).split_off(header.size);
        unmask(&mut payload, header.mask);
        Ok(Some(match control {
            Control::Close => Message::Close(close_code(&payload)?),
            Control::Ping => Message::Ping(payload.freeze()),
            Control::Pong => Message::Pong,
            Control::Reserved(_) => return Err(CloseCode::PROTOCOL_ERROR),
        }))
    }
}

/// The header of a frame that a client may send.
struct Header {
    is_final: bool,
    opcode: OpCode,
    mask: [u8; 4],
    /// The bytes of the header itself.
    size: usize,
    /// The bytes of the payload.
    length: usize,
}

impl Header {
    /// Parses and checks the header at the start of the input, if all of it has arrived.
    fn parse(input: &[u8]) -> Result<Option<Self>, CloseCode> {
        let mut cursor = Cursor::new(input);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| CloseCode::PROTOCOL_ERROR)?;
        let Some((header, length)) = parsed else { return Ok(None) };
        let size = header.len(length);
        // The shortest encoding of a length must be used (section 5.2).
        let is_shortest = cursor.position() == size as u64;
        let has_reserved_bits = header.rsv1 || header.rsv2 || header.rsv3;
        // The highest bit of a length must be 0 (section 5.2).
        let length = i64::try_from(length).ok().and_then(|length| usize::try_from(length).ok());
        match (header.mask, length) {
            (Some(mask), Some(length)) if is_shortest && !has_reserved_bits => {
                Self { is_final: header.is_final, opcode: header.opcode, mask, size, length }
                    .checked()
                    .map(Some)
            }
            _ => Err(CloseCode::PROTOCOL_ERROR),
        }
    }

    /// A control frame must be short and whole.
    fn checked(self) -> Result<Self, CloseCode> {
        let is_control = matches!(self.opcode, OpCode::Control(_));
        if is_control && (!self.is_final || self.length > MAX_CONTROL_PAYLOAD) {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        Ok(self)
    }
}

/// Decodes the payload of a close frame (section 5.5.1).
fn close_code(payload: &[u8]) -> Result<CloseCode, CloseCode> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let is_empty = payload.is_empty();
        return if is_empty { Ok(CloseCode::NO_STATUS) } else { Err(CloseCode::PROTOCOL_ERROR) };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(CloseCode::PROTOCOL_ERROR);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(CloseCode::NOT_UTF8);
    }
    Ok(code)
}

#[cfg(test)]
#[path = "tests/decoder.rs"]
mod tests;
