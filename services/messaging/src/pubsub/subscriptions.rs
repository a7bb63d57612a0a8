//! Keeps the subscriptions in Redis equal to the rooms that have subscribers.

use std::collections::HashSet;
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use futures_util::future::join_all;
use opentelemetry::global;
use opentelemetry::metrics::Counter;
use parlance_core::RoomId;
use parlance_runtime::ticks;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::availability::{Availability, Connections};
use super::header::channel_name;
use crate::streams::Streams;

/// How often Redis has to answer, and failed subscriptions are tried again.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Also how long a process that starts waits for its first connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands that are taken together. Their calls to Redis are pipelined.
const MAX_COMMANDS: usize = 1_000;

/// Requests to look whether a room has subscribers. A command carries no wanted state, as commands
/// of several tasks may overtake each other.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) room_id: RoomId,
    /// Is sent when the channel is subscribed.
    pub(super) confirmation: Option<oneshot::Sender<()>>,
}

pub(super) struct Subscriptions {
    subscriber: SubscriberClient,
    streams: Streams,
    /// The rooms whose subscription Redis has confirmed on the current connection.
    confirmed: HashSet<RoomId>,
    /// The rooms whose last call has not succeeded: Redis may have executed it, or may do so later.
    /// None of them is in `confirmed`.
    uncertain: HashSet<RoomId>,
    /// Callers that wait for a confirmation.
    waiting: Vec<(RoomId, oneshot::Sender<()>)>,
    /// True if a call has failed, or could not be made, since all rooms were last compared.
    has_failed: bool,
    availability: Availability,
    started: Instant,
    last_connections: Connections,
    connections: Counter<u64>,
}

impl Subscriptions {
    pub(super) fn new(
        subscriber: SubscriberClient,
        streams: Streams,
        availability: Availability,
    ) -> Self {
        let connections = global::meter("parlance")
            .u64_counter("parlance.messaging.redis.connections")
            .with_description("Connections made to Redis; 1 if none was ever lost.")
            .build();
        Self {
            subscriber,
            streams,
            confirmed: HashSet::new(),
            uncertain: HashSet::new(),
            waiting: Vec::new(),
            has_failed: false,
            availability,
            started: Instant::now(),
            last_connections: Connections::default(),
            connections,
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) -> anyhow::Result<()> {
        let mut reconnects = self.subscriber.reconnect_rx();
        let _connection = self.subscriber.connect();
        let mut check = ticks(CHECK_INTERVAL);
        let mut commands = Vec::new();
        loop {
            tokio::select! {
                biased;
                // `Lagged` stands for several reconnects, which need no more than one does.
                result = reconnects.recv() => match result {
                    Ok(_) | Err(RecvError::Lagged(_)) => self.on_connected().await,
                    Err(RecvError::Closed) => anyhow::bail!("the Redis client has ended"),
                },
                // Before the commands, so that a steady flow of them does not hold up the check.
                // The interval starts after it, so that slow checks do not hold up the commands.
                _ = check.tick() => {
                    self.check().await;
                    check.reset();
                }
                1.. = queue.recv_many(&mut commands, MAX_COMMANDS) => {
                    self.on_commands(std::mem::take(&mut commands)).await;
                }
            }
        }
    }

    async fn on_commands(&mut self, commands: Vec<Command>) {
        // Callers that gave up must not pile up while Redis is away.
        self.waiting.retain(|(_, confirmation)| !confirmation.is_closed());
        let rooms = commands.iter().map(|command| command.room_id).collect();
        let waiting = |command: Command| Some((command.room_id, command.confirmation?));
        self.waiting.extend(commands.into_iter().filter_map(waiting));
        if self.availability.get() {
            self.update(rooms).await;
        } else {
            // A check subscribes to them, once Redis answers.
            self.has_failed = true;
        }
        self.judge();
    }

    /// Asks Redis for a sign of life, and tries again what has failed. A connection that hangs
    /// stays open for long, and nothing but this would notice.
    async fn check(&mut self) {
        if !self.answers().await {
            self.has_failed = true;
        } else if self.has_failed {
            self.update_all().await;
        }
        self.judge();
    }

    async fn answers(&self) -> bool {
        self.subscriber.is_connected()
            && matches!(timeout(CALL_TIMEOUT, self.subscriber.ping::<()>(None)).await, Ok(Ok(())))
    }

    /// Decides whether Redis is available. If not, nobody waits for it any longer.
    fn judge(&mut self) {
        let is_starting = self.started.elapsed() < CALL_TIMEOUT;
        if !is_starting {
            let is_reliable = !self.last_connections.are_flapping();
            self.availability.set(!self.has_failed && is_reliable);
        }
        if !self.availability.get() {
            self.waiting.clear();
            // Until a check finds everything subscribed.
            self.has_failed = true;
        }
    }

    /// Subscribes to everything again: a new connection has no subscriptions.
    async fn on_connected(&mut self) {
        self.connections.add(1, &[]);
        self.last_connections.add();
        self.confirmed.clear();
        if self.last_connections.are_flapping() {
            // Not at once: a check does, if the connection lasts until then.
            self.has_failed = true;
        } else {
            tracing::info!("connected to Redis; subscribing to all rooms");
            self.update_all().await;
        }
        self.judge();
    }

    async fn update_all(&mut self) {
        self.has_failed = false;
        let known = self.confirmed.iter().chain(&self.uncertain).copied();
        let rooms = known.chain(self.streams.rooms()).collect();
        self.update(rooms).await;
    }

    /// Subscribes to rooms that have subscribers, and unsubscribes from the others. Calls are made
    /// only where something changes or is uncertain, and at most one at a time for a room, so that
    /// a subscription and its end cannot overtake each other.
    async fn update(&mut self, rooms: HashSet<RoomId>) {
        if !self.subscriber.is_connected() {
            // The client announces a connection shortly before it is connected. So the announcement
            // may have come already, and only the retry is sure to come after.
            self.has_failed = true;
            return;
        }
        let calls = self.start_changes(rooms).into_iter().map(|(room_id, is_wanted)| {
            let subscriber = self.subscriber.clone();
            async move {
                let channel = channel_name(room_id);
                let result = match is_wanted {
                    true => subscriber.ssubscribe(channel).await,
                    false => subscriber.sunsubscribe(channel).await,
                };
                (room_id, is_wanted, result)
            }
        });
        let Ok(results) = timeout(CALL_TIMEOUT, join_all(calls)).await else {
            self.has_failed = true;
            tracing::debug!("Redis does not answer; retrying subscriptions");
            return;
        };
        for (room_id, is_subscribed, result) in results {
            match result {
                Ok(()) => {
                    self.uncertain.remove(&room_id);
                    if is_subscribed {
                        self.confirmed.insert(room_id);
                    }
                }
                Err(error) => {
                    self.has_failed = true;
                    tracing::debug!(room.id = %room_id, %error, "subscribing failed; retrying");
                }
            }
        }
        self.confirm();
    }

    /// Returns the rooms that need a call, and whether each is to be subscribed. They are uncertain
    /// until their calls succeed.
    fn start_changes(&mut self, rooms: HashSet<RoomId>) -> Vec<(RoomId, bool)> {
        let change = |room_id: RoomId| {
            let is_wanted = self.streams.has_subscribers(room_id);
            let is_changed = is_wanted != self.confirmed.contains(&room_id);
            let needs_call = is_changed || self.uncertain.contains(&room_id);
            needs_call.then_some((room_id, is_wanted))
        };
        let changes: Vec<(RoomId, bool)> = rooms.into_iter().filter_map(change).collect();
        for &(room_id, _) in &changes {
            self.confirmed.remove(&room_id);
            self.uncertain.insert(room_id);
        }
        changes
    }

    /// Informs callers whose channel is subscribed. Forgets those that have stopped waiting.
    fn confirm(&mut self) {
        let is_done = |(room_id, confirmation): &mut (RoomId, oneshot::Sender<()>)| {
            self.confirmed.contains(room_id) || confirmation.is_closed()
        };
        for (_, confirmation) in self.waiting.extract_if(.., is_done) {
            let _ = confirmation.send(());
        }
    }
}
