//! The WebSocket of `/v1/messages/ws`: live messages.
//!
//! [`protocol`] knows the frames, [`socket`] reads and writes them; [`entrance`] and [`connection`]
//! are the life of one connection; [`hub`] holds who is subscribed to what and fans events out,
//! which [`deliveries`] write; [`backlog`] bounds what waits for clients; [`upstream`] is the way
//! to the replicas of messaging. [`canary`] shows that all of it works.

pub(crate) mod backlog;
pub(crate) mod canary;
mod connection;
mod deliveries;
mod entrance;
mod frames;
pub(crate) mod hub;
mod outbound;
mod protocol;
mod room;
mod socket;
mod upgrade;
pub(crate) mod upstream;

pub(crate) use upgrade::routes;
