//! The WebSocket of `/v1/messages/ws`: live messages.
//!
//! [`protocol`] knows the frames, [`connection`] is the life of one socket, [`hub`] holds who is subscribed to what and fans
//! events out, [`upstream`] is the way to the replicas of messaging.

mod connection;
pub(crate) mod hub;
mod outbound;
mod protocol;
mod room;
mod upgrade;
pub(crate) mod upstream;

pub(crate) use upgrade::routes;
