//! Redis pub/sub between the replicas: events that one replica commits reach the streams of the
//! others at once.
//!
//! Redis is a hint. A publication may be lost, and then the log poller finds the change. So nothing
//! here waits long for Redis, and no request fails because of it. A Redis that hangs, refuses
//! subscriptions or cuts its clients again and again counts as away: nothing waits for it at all.

mod availability;
mod client;
mod header;
mod listener;
mod publisher;
mod subscriptions;

pub(crate) use self::client::PubSub;
