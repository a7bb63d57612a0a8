//! Redis between the replicas: what one commits, the others hear at once.
//!
//! Redis is a hint. A publication may be lost, and then the [`tail`](crate::tail) finds what it
//! would have told. So nothing here waits for Redis for long, and nothing fails because of it.
//! Where nobody else is there to hear it, nothing is published.

mod presence;

use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Message;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::RoomId;
use parlance_proto::messaging::PublishedEvents;
use parlance_runtime::Lifecycle;
use parlance_runtime::trace::Span;
use prost::Message as _;
use rand::Rng;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use self::presence::{MEETING_PLACE, Presence};
use crate::gateways::Gateways;
use crate::grpc::encode;
use crate::model::Event;
use crate::steps;

/// Publications that may wait for Redis; what comes beyond is left to the tail.
const MAX_QUEUED: usize = 4_096;
/// Publications under way at once.
const MAX_UNDER_WAY: usize = 64;
/// How long a subscriber waits for Redis before it is served without.
const CONFIRMATION_LIMIT: Duration = Duration::from_millis(300);
/// How often subscriptions that failed are tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// This replica's end of the bus. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    publications: mpsc::Sender<Publication>,
    wishes: mpsc::Sender<Wish>,
    /// What this replica's publications begin with, to be known when they come back.
    origin: Origin,
    presence: Presence,
}

/// What is to be published.
#[derive(Debug)]
struct Publication {
    room_id: RoomId,
    payload: Bytes,
    /// Of the events in it that are recorded; they last until Redis has answered.
    spans: Vec<Span>,
}

/// A process, and the clock of its publications. A publication begins with the id and with the time
/// on this clock, so that one that comes back shows how long Redis takes.
#[derive(Clone, Copy, Debug)]
struct Origin {
    id: u64,
    started: Instant,
}

impl Origin {
    /// The length of what [`head_at`](Self::head_at) makes, in bytes.
    const HEAD: usize = 16;

    fn new() -> Self {
        Self { id: rand::rng().random(), started: Instant::now() }
    }

    /// Microseconds since the start.
    fn micros(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// What a publication begins with that is made at this time.
    fn head_at(&self, micros: u64) -> u128 {
        (u128::from(self.id) << 64) | u128::from(micros)
    }

    /// When a publication with this head was made, if this process has made it.
    fn made(&self, head: u128) -> Option<u64> {
        let (id, micros) = ((head >> 64) as u64, head as u64);
        (id == self.id).then_some(micros)
    }
}

/// Asks to look anew whether this replica has to hear of a room. What was true when the wish was
/// made does not count: wishes of several tasks overtake each other.
#[derive(Debug)]
struct Wish {
    room_id: RoomId,
    /// Told when the room is subscribed to; dropped when nobody listens to it any more.
    confirmation: Option<oneshot::Sender<()>>,
}

impl Bus {
    pub(crate) fn start(
        publisher: Client,
        subscriber: SubscriberClient,
        gateways: Gateways,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (publication_sender, publications) = mpsc::channel(MAX_QUEUED);
        let (wish_sender, wishes) = mpsc::channel(MAX_QUEUED);
        let (origin, presence) = (Origin::new(), Presence::default());
        let listener =
            Listener::new(subscriber.clone(), origin, presence.clone(), gateways.clone());
        lifecycle.spawn_task("presence", presence.clone().keep_up(publisher.clone(), origin));
        lifecycle.spawn_task("redis publisher", publish_forever(publisher, publications));
        lifecycle.spawn_task("redis listener", listener.run());
        lifecycle.spawn_task(
            "redis subscriptions",
            Subscriptions::new(subscriber, gateways).run(wishes),
        );
        Self { publications: publication_sender, wishes: wish_sender, origin, presence }
    }

    /// Tells the other replicas, if there are any, what happened: one publication for each room.
    pub(crate) fn publish(&self, events: &[Event]) {
        let now = self.origin.micros();
        let is_alone = self.presence.is_alone(now);
        let mut rooms: HashMap<RoomId, Vec<&Event>> = HashMap::new();
        // What is not stored has no number, and no tail that would find it.
        for event in events.iter().filter(|event| !is_alone || event.seq == 0) {
            rooms.entry(event.room_id).or_default().push(event);
        }
        for (room_id, events) in rooms {
            self.publish_of_room(room_id, events, now);
        }
    }

    fn publish_of_room(&self, room_id: RoomId, events: Vec<&Event>, now: u64) {
        let mut spans = Vec::new();
        let encode = |event| {
            let mut encoded = encode::event(event);
            let span = steps::publish(event);
            if span.is_recorded() {
                encoded.traceparent = span.traceparent();
                spans.push(span);
            }
            encoded
        };
        let message = PublishedEvents { events: events.into_iter().map(encode).collect() };
        let mut payload = BytesMut::with_capacity(Origin::HEAD + message.encoded_len());
        payload.put_u128(self.origin.head_at(now));
        let is_encoded = message.encode(&mut payload).is_ok();
        let publication = Publication { room_id, payload: payload.freeze(), spans };
        if is_encoded && self.publications.try_send(publication).is_err() {
            tracing::debug!(room.id = %room_id, "a publication was left to the tail: the queue to Redis is full");
        }
    }

    /// Hears of a room that has listeners; returns when Redis has confirmed, or after a moment
    /// without.
    pub(crate) async fn subscribe(&self, room_id: RoomId) {
        let (confirmation, confirmed) = oneshot::channel();
        let wish = async {
            // When the task is gone the process is ending.
            let _ = self.wishes.send(Wish { room_id, confirmation: Some(confirmation) }).await;
            let _ = confirmed.await;
        };
        if tokio::time::timeout(CONFIRMATION_LIMIT, wish).await.is_err() {
            tracing::debug!(room.id = %room_id, "Redis has not confirmed a subscription in time");
        }
    }

    /// Stops hearing of a room, unless it has listeners again.
    pub(crate) async fn unsubscribe_if_unheard(&self, room_id: RoomId) {
        // When the task is gone the process is ending.
        let _ = self.wishes.send(Wish { room_id, confirmation: None }).await;
    }
}

fn channel_of(room_id: RoomId) -> String {
    format!("room:{room_id}")
}

async fn publish_forever(
    publisher: Client,
    mut publications: mpsc::Receiver<Publication>,
) -> anyhow::Result<()> {
    let _connection = publisher.connect();
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(publication) = publications.recv(), if under_way.len() < MAX_UNDER_WAY => {
                if publisher.is_connected() {
                    under_way.push(publish(publisher.clone(), publication));
                }
            }
            Some(result) = under_way.next() => {
                if let Err(error) = result {
                    tracing::debug!(error = %error, "a publication was left to the tail: Redis failed");
                }
            }
            else => return Ok(()),
        }
    }
}

async fn publish(publisher: Client, publication: Publication) -> Result<(), fred::error::Error> {
    let Publication { room_id, payload, mut spans } = publication;
    let published = publisher.spublish::<i64, _, _>(channel_of(room_id), payload).await;
    if published.is_err() {
        spans.iter_mut().for_each(|span| span.fail("redis"));
    }
    published.map(drop)
}

/// Hears what is published.
struct Listener {
    subscriber: SubscriberClient,
    origin: Origin,
    presence: Presence,
    gateways: Gateways,
    lag: Histogram<f64>,
}

impl Listener {
    fn new(
        subscriber: SubscriberClient,
        origin: Origin,
        presence: Presence,
        gateways: Gateways,
    ) -> Self {
        let lag = global::meter("parlance")
            .f64_histogram("parlance.messaging.redis.lag")
            .with_description(
                "Time from publishing to hearing it back, of this replica's own publications.",
            )
            .with_unit("s")
            .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
            .build();
        Self { subscriber, origin, presence, gateways, lag }
    }

    async fn run(self) -> anyhow::Result<()> {
        let mut messages = self.subscriber.message_rx();
        loop {
            match messages.recv().await {
                Ok(message) => self.hear(&message),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(
                        missed,
                        "publications were missed, the tail will find what they told"
                    );
                }
                Err(RecvError::Closed) => anyhow::bail!("the Redis client has ended"),
            }
        }
    }

    /// Passes a publication on unless it is this replica's own.
    fn hear(&self, message: &Message) {
        let Some(payload) = message.value.as_bytes() else { return };
        let Some((head, events)) = payload.split_first_chunk::<{ Origin::HEAD }>() else { return };
        if let Some(made) = self.origin.made(u128::from_be_bytes(*head)) {
            let lag = Duration::from_micros(self.origin.micros().saturating_sub(made));
            self.lag.record(lag.as_secs_f64(), &[]);
            // Only heartbeats tell nothing.
            if events.is_empty() {
                self.presence.note_heard(made);
            }
            return;
        }
        match PublishedEvents::decode(events) {
            Ok(published) => {
                let mut events: Vec<Event> =
                    published.events.into_iter().filter_map(encode::decode_event).collect();
                let _spans = steps::receive(&mut events);
                self.gateways.deliver(&events, Vec::new());
            }
            Err(error) => tracing::warn!(error = %error, "a publication could not be read"),
        }
    }
}

/// Which channels are wanted, which are confirmed, and what is under way between the two. At most
/// one command is under way for each channel, so that a subscription and its end cannot overtake
/// each other.
struct Subscriptions {
    subscriber: SubscriberClient,
    gateways: Gateways,
    rooms: HashMap<RoomId, Subscription>,
    commands: FuturesUnordered<Pin<Box<dyn Future<Output = Finished> + Send>>>,
    /// Counts connections: an answer from before the last reconnect says nothing.
    epoch: u64,
    connections: Counter<u64>,
}

#[derive(Default)]
struct Subscription {
    is_wanted: bool,
    is_confirmed: bool,
    is_under_way: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

/// A command that has ended.
struct Finished {
    room_id: RoomId,
    epoch: u64,
    /// Whether the channel is subscribed now; nothing when the command failed.
    is_subscribed: Option<bool>,
}

impl Subscriptions {
    fn new(subscriber: SubscriberClient, gateways: Gateways) -> Self {
        let connections = global::meter("parlance")
            .u64_counter("parlance.messaging.redis.connections")
            .with_description(
                "How often this replica has connected to Redis; once, if it was never lost.",
            )
            .build();
        let meeting_place = Subscription { is_wanted: true, ..Subscription::default() };
        let rooms = HashMap::from([(MEETING_PLACE, meeting_place)]);
        let commands = FuturesUnordered::new();
        Self { subscriber, gateways, rooms, commands, epoch: 0, connections }
    }

    async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) -> anyhow::Result<()> {
        let mut reconnects = self.subscriber.reconnect_rx();
        let _connection = self.subscriber.connect();
        let mut retry = tokio::time::interval(RETRY_INTERVAL);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(wish) = wishes.recv() => self.take_up(wish),
                Some(finished) = self.commands.next() => self.finish(finished),
                // Lagging behind means that there were several; one is as good as many. A closed
                // channel never comes back.
                result = reconnects.recv() => match result {
                    Ok(_) | Err(RecvError::Lagged(_)) => self.start_over(),
                    Err(RecvError::Closed) => anyhow::bail!("the Redis client has ended"),
                },
                _ = retry.tick() => self.advance_all(),
            }
        }
    }

    fn take_up(&mut self, wish: Wish) {
        let subscription = self.rooms.entry(wish.room_id).or_default();
        subscription.is_wanted =
            wish.room_id == MEETING_PLACE || self.gateways.has_listeners(wish.room_id);
        subscription.waiting.extend(wish.confirmation);
        self.advance(wish.room_id);
    }

    fn finish(&mut self, finished: Finished) {
        let Some(subscription) = self.rooms.get_mut(&finished.room_id) else { return };
        subscription.is_under_way = false;
        // A command that failed is tried again with the next tick, so that a Redis that is away is
        // not pelted.
        let Some(is_subscribed) = finished.is_subscribed else { return };
        if finished.epoch == self.epoch {
            subscription.is_confirmed = is_subscribed;
        }
        self.advance(finished.room_id);
    }

    /// After a lost connection Redis knows of no subscription.
    fn start_over(&mut self) {
        self.epoch += 1;
        self.connections.add(1, &[]);
        for subscription in self.rooms.values_mut() {
            subscription.is_confirmed = false;
        }
        tracing::info!(rooms = self.rooms.len(), "connected to Redis");
        self.advance_all();
    }

    fn advance_all(&mut self) {
        let lagging: Vec<RoomId> = self
            .rooms
            .iter()
            .filter(|(_, subscription)| !(subscription.is_wanted && subscription.is_confirmed))
            .map(|(room_id, _)| *room_id)
            .collect();
        for room_id in lagging {
            self.advance(room_id);
        }
    }

    /// Brings one channel a step closer to what is wanted.
    fn advance(&mut self, room_id: RoomId) {
        let Some(subscription) = self.rooms.get_mut(&room_id) else { return };
        if !subscription.is_wanted {
            subscription.waiting.clear();
        } else if subscription.is_confirmed {
            for confirmation in subscription.waiting.drain(..) {
                // Who asked may have stopped waiting.
                let _ = confirmation.send(());
            }
        }
        if subscription.is_under_way {
            return;
        }
        if subscription.is_wanted == subscription.is_confirmed {
            if !subscription.is_wanted {
                self.rooms.remove(&room_id);
            }
            return;
        }
        if !self.subscriber.is_connected() {
            return;
        }
        subscription.is_under_way = true;
        let command =
            run_command(self.subscriber.clone(), room_id, subscription.is_wanted, self.epoch);
        self.commands.push(Box::pin(command));
    }
}

async fn run_command(
    subscriber: SubscriberClient,
    room_id: RoomId,
    subscribe: bool,
    epoch: u64,
) -> Finished {
    let channel = channel_of(room_id);
    let result = if subscribe {
        subscriber.ssubscribe(channel).await
    } else {
        subscriber.sunsubscribe(channel).await
    };
    let is_subscribed = match result {
        Ok(()) => Some(subscribe),
        Err(error) => {
            tracing::debug!(room.id = %room_id, error = %error, "a subscription in Redis could not be changed");
            None
        }
    };
    Finished { room_id, epoch, is_subscribed }
}
