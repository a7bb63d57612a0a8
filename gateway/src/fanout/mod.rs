//! The delivery of events from the replicas of messaging to the sockets of this gateway.
//!
//! [`hub`] holds the subscriptions by room, [`events`] receives what the streams bring, [`encode`]
//! makes one frame of an event for all its subscribers, and [`room`] puts a room's changes in `seq`
//! order. [`subscribe`] replays missed changes to a new subscriber, [`backfill`] closes gaps; both
//! read from the store through [`change_pages`]. [`reassign`] moves rooms when the replicas change.

mod backfill;
mod change_pages;
mod close_ended;
mod encode;
mod events;
mod hub;
mod hub_tasks;
mod reassign;
mod room;
mod subscribe;
mod subscriber;
mod typing_limit;

pub(crate) use hub::Hub;
pub(crate) use subscribe::{Subscription, Turn};
