//! Redis pub/sub between the replicas: events that one replica commits reach the streams of the
//! others at once.
//!
//! Redis is a hint. A publication may be lost, and then the log poller finds the change. So nothing
//! here waits long for Redis, and no request fails because of it.

mod client;
mod header;
mod listener;
mod publisher;
mod subscriptions;

pub(crate) use self::client::PubSub;
