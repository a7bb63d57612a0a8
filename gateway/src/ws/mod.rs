//! The WebSocket `/v1/messages/ws`.
//!
//! A message from a client goes through `session/requests.rs` (`Session`),
//! `messaging_client/client.rs` (`MessagingClient`), `messaging_client/pending.rs`
//! (`PendingRequests`) and `messaging_client/streams.rs` (`Streams`) to the owner replica.
//!
//! Its event comes back through `messaging_client/attach.rs` (`MessagingClient`),
//! `fanout/events.rs` (`Hub`), `fanout/room.rs` (`Room`), `ws/send_queue.rs` (`SendQueue`) and
//! `ws/flush.rs` (`FlushWorkers`) to the sockets.

pub(crate) mod close_code;
pub(crate) mod flush;
pub(crate) mod frames;
mod handshake;
pub(crate) mod protocol;
mod queued_frames;
pub(crate) mod send_budget;
pub(crate) mod send_queue;
mod session;
pub(crate) mod shed;
mod socket;
pub(crate) mod upgrade;
