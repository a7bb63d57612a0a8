//! WebSocket clients of the loads.

mod counting;
mod socket;

pub use counting::{Counted, Counter, CountingSocket};
pub use socket::{Endpoint, Socket};
