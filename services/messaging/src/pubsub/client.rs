//! What the use cases call: publish, subscribe, unsubscribe.

use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use parlance_core::RoomId;
use parlance_proto::messaging::Event;
use parlance_runtime::Lifecycle;
use tokio::sync::{mpsc, oneshot};

use super::availability::Availability;
use super::header::Publisher;
use super::listener::Listener;
use super::publisher::{self, Publications};
use super::subscriptions::{Command, Subscriptions};
use crate::streams::Streams;

/// Commands that may wait for the task that manages subscriptions.
const MAX_QUEUED_COMMANDS: usize = 4_096;
/// How long a subscriber waits for Redis to confirm. After it the subscriber is served without
/// Redis, and gets events of other replicas through the log poller.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_millis(300);

/// The connection of this replica to Redis pub/sub. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PubSub {
    publications: Publications,
    commands: mpsc::Sender<Command>,
    availability: Availability,
}

impl PubSub {
    /// Starts the tasks that publish, receive and manage subscriptions.
    pub(crate) fn start(
        client: Client,
        subscriber: SubscriberClient,
        streams: Streams,
        lifecycle: &Lifecycle,
    ) -> Self {
        let this_process = Publisher::new();
        let (command_sender, commands) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let listener = Listener::new(subscriber.clone(), this_process, streams.clone());
        let availability = Availability::new();
        let subscriptions = Subscriptions::new(subscriber, streams, availability.clone());
        lifecycle.spawn_task("redis listener", listener.run());
        lifecycle.spawn_task("redis subscriptions", subscriptions.run(commands));
        let publications = publisher::start(client, this_process, lifecycle);
        Self { publications, commands: command_sender, availability }
    }

    /// Publishes events to the other replicas, one publication for each room. Does not wait.
    pub(crate) fn publish(&self, events: &[Event]) {
        self.publications.publish(events);
    }

    /// Subscribes to a room that has subscribers. Returns when Redis has confirmed, or after a
    /// timeout; at once if Redis is away.
    pub(crate) async fn subscribe(&self, room_id: RoomId) {
        let (confirmation, confirmed) = oneshot::channel();
        let is_available = self.availability.get();
        let subscribed = async {
            let confirmation = is_available.then_some(confirmation);
            // Sending fails only when the process is ending.
            let _ = self.commands.send(Command { room_id, confirmation }).await;
            if is_available {
                let _ = confirmed.await;
            }
        };
        if tokio::time::timeout(CONFIRMATION_TIMEOUT, subscribed).await.is_err() {
            tracing::debug!(room.id = %room_id, "Redis did not confirm a subscription in time");
        }
    }

    /// Unsubscribes from a room, unless it has subscribers again.
    pub(crate) async fn unsubscribe_if_unused(&self, room_id: RoomId) {
        // Sending fails only when the process is ending.
        let _ = self.commands.send(Command { room_id, confirmation: None }).await;
    }
}
