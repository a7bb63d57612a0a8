//! A data message while its frames arrive.

use bytes::{Buf, BytesMut};

use crate::ws::close_code::CloseCode;

/// The largest message of a client that is handled.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
const MASK_BYTES: usize = 4;

/// A message of which some frames, or a part of one, have arrived.
pub(super) struct PartialMessage {
    is_text: bool,
    /// The text so far. Empty for a binary message: its content is not used.
    text: Vec<u8>,
    /// The part of the text that is known to be UTF-8.
    checked: usize,
    /// The payload of all frames that have begun.
    announced: usize,
    /// The bytes of the present frame that have not arrived.
    missing: usize,
    /// The mask of the present frame, turned to its next byte.
    mask: [u8; MASK_BYTES],
    /// True if the present frame is the last one.
    is_last_frame: bool,
}

impl PartialMessage {
    pub(super) fn new(is_text: bool) -> Self {
        Self {
            is_text,
            text: Vec::new(),
            checked: 0,
            announced: 0,
            missing: 0,
            mask: [0; MASK_BYTES],
            is_last_frame: false,
        }
    }

    /// Begins a frame after the end of the one before. Fails if the message becomes too large.
    pub(super) fn begin_frame(
        &mut self,
        is_last: bool,
        length: usize,
        mask: [u8; MASK_BYTES],
    ) -> Result<(), CloseCode> {
        if length > MAX_MESSAGE_BYTES - self.announced {
            return Err(CloseCode::TOO_BIG);
        }
        self.announced += length;
        (self.missing, self.mask, self.is_last_frame) = (length, mask, is_last);
        Ok(())
    }

    pub(super) fn is_inside_frame(&self) -> bool {
        self.missing > 0
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_last_frame && self.missing == 0
    }

    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
    }

    /// Takes what has arrived of the present frame.
    pub(super) fn take_from(&mut self, input: &mut BytesMut) {
        let length = self.missing.min(input.len());
        if self.is_text {
            self.append(&input[..length]);
        }
        input.advance(length);
        self.missing -= length;
    }

    fn append(&mut self, payload: &[u8]) {
        let begin = self.text.len();
        let needed = begin + payload.len();
        if needed > self.text.capacity() {
            // Not more than the largest message, to which a vector alone would not keep.
            let capacity = needed.max(2 * self.text.capacity()).min(MAX_MESSAGE_BYTES);
            self.text.reserve_exact(capacity - begin);
        }
        self.text.extend_from_slice(payload);
        unmask(&mut self.text[begin..], self.mask);
        self.mask.rotate_left(payload.len() % MASK_BYTES);
    }

    /// Checks the text so far, which may end inside a character.
    pub(super) fn check_text(&mut self) -> Result<(), CloseCode> {
        match std::str::from_utf8(&self.text[self.checked..]) {
            Ok(valid) => self.checked += valid.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(CloseCode::NOT_UTF8),
        }
        Ok(())
    }

    /// Returns the text of the message, all of which has arrived, or none if it is binary.
    pub(super) fn finish(self) -> Result<Option<String>, CloseCode> {
        let text = self.is_text.then_some(self.text);
        text.map(String::from_utf8).transpose().map_err(|_| CloseCode::NOT_UTF8)
    }
}

/// Removes the mask of a payload that begins with the first byte of the mask (section 5.3).
pub(super) fn unmask(payload: &mut [u8], mask: [u8; MASK_BYTES]) {
    let (words, rest) = payload.as_chunks_mut::<MASK_BYTES>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}
