//! The WebSocket protocol (RFC 6455), frame by frame: framing, pings, reserved bits, opcodes,
//! fragmentation, UTF-8, closing, sizes, and the memory of unfinished messages.
//!
//! The gateway does not echo. A case sends `ping` requests, whose `ref` the answer repeats, and
//! frames that break a rule. It states all that must come back up to the end of the connection.

mod case;
mod closing;
mod fragmentation;
mod framing;
mod memory;
mod opcodes;
mod pings;
mod requests;
mod reserved_bits;
mod sizes;
mod utf8;
mod wire;
