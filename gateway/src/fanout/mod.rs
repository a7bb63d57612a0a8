//! The way of an event from a replica of messaging to the sockets of this gateway.
//!
//! [`hub`] holds who is subscribed to what. [`encode`] makes one frame for all subscribers of an
//! event, [`room`] brings a room's events into `seq` order, [`subscribe`] starts a subscription,
//! and [`backfill`] reads from the store what is missing.

pub(crate) mod backfill;
pub(crate) mod change_pages;
pub(crate) mod delivery_delay;
pub(crate) mod encode;
pub(crate) mod hub;
pub(crate) mod room;
pub(crate) mod subscribe;
