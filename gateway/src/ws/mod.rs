//! The WebSocket `/v1/messages/ws`.
//!
//! A parsed frame with a message passes five types on its way to the owner replica:
//! 1. `Session` in `ws/session/requests.rs` checks the order of requests,
//! 2. `MessagingClient` in `messaging_client/client.rs` gives it an idempotency key,
//! 3. `PendingRequests` in `messaging_client/pending.rs` keeps it until it is answered,
//! 4. `Streams` in `messaging_client/streams.rs` picks the stream to the owner replica,
//! 5. `RequestQueue` in `messaging_client/request_queue.rs` holds it until it is its sender's turn.
//!
//! The event of the message passes five types on its way from a stream to the sockets:
//! 1. `MessagingClient` in `messaging_client/attach.rs` reads it,
//! 2. `Hub` in `fanout/events.rs` has it encoded and finds its room,
//! 3. `Room` in `fanout/room.rs` puts it in order,
//! 4. `SendQueue` in `ws/send_queue.rs` queues it for each subscriber,
//! 5. `FlushWorkers` in `ws/flush.rs` write the queues.

pub(crate) mod close_code;
mod decoder;
mod ending;
pub(crate) mod flush;
pub(crate) mod frames;
mod handshake;
mod origin;
mod partial_message;
pub(crate) mod protocol;
mod queued_frames;
pub(crate) mod send_budget;
pub(crate) mod send_queue;
mod session;
pub(crate) mod shed;
mod socket;
mod unfinished;
pub(crate) mod upgrade;
mod upgrade_request;
