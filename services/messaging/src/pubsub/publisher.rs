//! Publishes events. Events that Redis does not take are dropped; the log poller finds their
//! changes.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use fred::clients::Client;
use fred::interfaces::{ClientLike, PubsubInterface};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parlance_core::RoomId;
use parlance_proto::messaging::{Event, PublishedEvents};
use parlance_runtime::Lifecycle;
use parlance_runtime::trace::{Span, SpanBuilder};
use prost::Message as _;
use tokio::sync::mpsc;

use super::header::{Publisher, channel_name, start_span};

/// Publications that may wait for Redis. Further ones are left to the log poller.
const MAX_QUEUED: usize = 4_096;
/// Publications in flight.
const MAX_IN_FLIGHT: usize = 64;

/// The queue of publications. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publications {
    queue: mpsc::Sender<Publication>,
    this_process: Publisher,
}

#[derive(Debug)]
struct Publication {
    room_id: RoomId,
    payload: Bytes,
    /// The spans of recorded events. They end when Redis has answered.
    spans: Vec<Span>,
}

/// Starts the task that sends publications to Redis.
pub(super) fn start(
    client: Client,
    this_process: Publisher,
    lifecycle: &Lifecycle,
) -> Publications {
    let (queue, publications) = mpsc::channel(MAX_QUEUED);
    lifecycle.spawn_task("redis publisher", run(client, publications));
    Publications { queue, this_process }
}

impl Publications {
    /// Queues one publication for each room.
    pub(super) fn publish(&self, events: &[Event]) {
        let mut rooms: HashMap<i64, PublishedEvents> = HashMap::new();
        for event in events {
            rooms.entry(event.room_id).or_default().events.push(event.clone());
        }
        for (room_id, events) in rooms {
            self.publish_to_room(RoomId::new(room_id), events);
        }
    }

    fn publish_to_room(&self, room_id: RoomId, mut message: PublishedEvents) {
        let new_span = || {
            SpanBuilder::producer("publish room:{id}")
                .with("messaging.operation.name", "publish")
                .with("messaging.operation.type", "send")
        };
        let spans = message.events.iter_mut().filter_map(|event| start_span(event, new_span));
        let spans = spans.collect();
        let mut payload = BytesMut::with_capacity(Publisher::HEADER + message.encoded_len());
        payload.put_u128(self.this_process.header());
        let is_encoded = message.encode(&mut payload).is_ok();
        let publication = Publication { room_id, payload: payload.freeze(), spans };
        if is_encoded && self.queue.try_send(publication).is_err() {
            tracing::debug!(room.id = %room_id, "the queue to Redis is full; events are dropped");
        }
    }
}

async fn run(client: Client, mut publications: mpsc::Receiver<Publication>) -> anyhow::Result<()> {
    let _connection = client.connect();
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(publication) = publications.recv(), if in_flight.len() < MAX_IN_FLIGHT => {
                if client.is_connected() {
                    in_flight.push(send(client.clone(), publication));
                }
            }
            Some(result) = in_flight.next() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "cannot publish events to Redis; they are dropped");
                }
            }
            else => return Ok(()),
        }
    }
}

async fn send(client: Client, publication: Publication) -> Result<(), fred::error::Error> {
    let Publication { room_id, payload, mut spans } = publication;
    let sent = client.spublish::<i64, _, _>(channel_name(room_id), payload).await;
    if sent.is_err() {
        spans.iter_mut().for_each(|span| span.fail("redis"));
    }
    sent.map(drop)
}
