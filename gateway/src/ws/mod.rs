//! The WebSocket of `/v1/messages/ws`: live messages.
//!
//! [`upgrade`] answers the HTTP request and [`handshake`] authenticates. [`session`] is an
//! authenticated connection. [`protocol`] knows the frames, [`socket`] reads and writes them,
//! [`send_queue`] holds what waits for one client, [`send_budget`] bounds what waits for all, and
//! [`flush`] writes to many sockets.

pub(crate) mod flush;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod protocol;
pub(crate) mod send_budget;
pub(crate) mod send_queue;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod upgrade;
