//! The client of messaging: one bidirectional gRPC stream to each replica, on which requests and
//! events travel in batches.
//!
//! Everything about a room goes to its owner replica, which [`owner_replica`] picks. All gateways
//! pick the same one, so the sends of a room keep their order. Messages wait for a stream by sender
//! and leave in turn: see [`request_queue`]. When a stream ends, its unanswered
//! requests are sent again on another stream, in the same order. The idempotency key of a send
//! prevents that a message is stored twice.
//!
//! Events go to an [`EventHandler`] in the task that reads the stream: this module does not import
//! the part of the gateway that delivers them.

mod attach;
mod client;
mod owner_replica;
mod pending;
mod request_queue;
mod stream_message;
mod streams;

pub(crate) use attach::EventHandler;
pub(crate) use client::{MessagingClient, Pending, SentMessage, submit_span};
pub(crate) use owner_replica::OwnerReplicas;
pub(crate) use stream_message::Renewal;
pub(crate) use streams::StreamId;
