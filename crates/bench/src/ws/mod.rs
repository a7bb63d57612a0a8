//! WebSocket clients of the loads.
//!
//! [`Socket`] is a connection of tungstenite. It authenticates and subscribes, and it reads events
//! for the loads that look into each of them.
//!
//! *Fan-out*, *hot room* and *many rooms* continue on the bare TCP stream with [`RawSocket`] and
//! [`CountingSocket`], which read frames by their headers. The clients share the machine with
//! Parlance: in *fan-out* they receive millions of events a second, and a copy and a UTF-8 check of
//! each event would take the processor time that the gateway needs.

mod frames;
mod raw;
mod socket;

pub use frames::{Counted, Counter, Frame, encode, take};
pub use raw::{CountingSocket, RawSocket};
pub use socket::{Endpoint, Socket};
