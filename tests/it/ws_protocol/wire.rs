//! Frames in their wire format.

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

pub(super) const FINAL: u8 = 0x80;
pub(super) const MASKED: u8 = 0x80;
pub(super) const MASK: [u8; 4] = [0x12, 0xa4, 0x56, 0xe8];

/// A whole frame of a client: the only or the last one of its message.
pub(super) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame_with(FINAL | opcode, payload)
}

/// A frame of a client that is not the last one of its message.
pub(super) fn fragment(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame_with(opcode, payload)
}

/// A frame of a client with this first byte.
pub(super) fn frame_with(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame_with_mask(first, payload, MASK)
}

pub(super) fn frame_with_mask(first: u8, payload: impl AsRef<[u8]>, mask: [u8; 4]) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut wire = header(first, MASKED, payload.len() as u64);
    wire.extend(mask);
    wire.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

/// A frame without a mask, as only a server may send it.
pub(super) fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [header(FINAL | opcode, 0, payload.len() as u64), payload.to_vec()].concat()
}

/// The part of a header before the mask, with the shortest encoding of the length.
pub(super) fn header(first: u8, masked: u8, length: u64) -> Vec<u8> {
    match length {
        0..=125 => vec![first, masked | length as u8],
        126..=0xffff => [&[first, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, masked | 127][..], &length.to_be_bytes()].concat(),
    }
}

/// A close frame of a client.
pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_ref()].concat())
}

/// A message in fragments of this size.
pub(super) fn in_fragments(opcode: u8, payload: impl AsRef<[u8]>, size: usize) -> Vec<u8> {
    let payload = payload.as_ref();
    let count = payload.len().div_ceil(size);
    let fragments = payload.chunks(size).enumerate().map(|(index, part)| {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        if index + 1 == count { frame(opcode, part) } else { fragment(opcode, part) }
    });
    fragments.collect::<Vec<_>>().concat()
}

/// A frame of the gateway.
#[derive(Debug, PartialEq)]
pub(super) struct Received {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// Decodes the frames of the gateway, each of which is whole, unmasked and as short as can be.
pub(super) fn decode(mut wire: &[u8]) -> Result<Vec<Received>, String> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let (received, size) = decode_one(wire).ok_or_else(|| format!("no frame: {wire:?}"))?;
        wire = &wire[size..];
        frames.push(received);
    }
    Ok(frames)
}

fn decode_one(wire: &[u8]) -> Option<(Received, usize)> {
    let (first, second) = (*wire.first()?, *wire.get(1)?);
    let length = match second {
        0..=125 => u64::from(second),
        126 => u64::from(u16::from_be_bytes(wire.get(2..4)?.try_into().ok()?)),
        127 => u64::from_be_bytes(wire.get(2..10)?.try_into().ok()?),
        _ => return None,
    };
    let header = header(first, 0, length);
    let end = header.len() + usize::try_from(length).ok()?;
    let payload = wire.get(header.len()..end)?.to_vec();
    let opcode = first & 0xf;
    let is_valid = wire.starts_with(&header) && first == FINAL | opcode;
    is_valid.then_some((Received { opcode, payload }, end))
}
