//! All attached streams, and the rooms that each subscribes to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use parlance_proto::messaging::{Answer, AttachResponse, Event, RoomLastSeq};
use parlance_runtime::Lifecycle;

use super::queue::{self, StreamQueue, StreamSender};
use crate::encode;
use crate::model::MembershipEnd;

/// The id of an attached stream. It is unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(u64);

/// All attached streams. Cheap to clone. The lock is held for map look-ups and for copying events
/// into queues, never across an await.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    last_id: u64,
    streams: HashMap<StreamId, Stream>,
    rooms: HashMap<RoomId, Subscribers>,
    /// True once the process drains. A stream that attaches later gets `going_away` at once.
    is_draining: bool,
}

#[derive(Debug)]
struct Stream {
    sender: StreamSender,
    rooms: HashSet<RoomId>,
}

/// The streams that subscribe to one room.
#[derive(Debug, Default)]
struct Subscribers {
    streams: Vec<StreamId>,
    /// The highest `seq` that the gateways know of. A lower one may be missing there: they see the
    /// gap. The log poller compares it with the store.
    announced_seq: i64,
}

/// One response for each stream concerned.
type Responses = HashMap<StreamId, AttachResponse>;

impl Streams {
    /// Registers a new stream.
    pub(crate) fn attach(&self) -> (StreamId, StreamQueue) {
        let (sender, queue) = queue::new();
        let mut registry = self.lock();
        registry.last_id += 1;
        let id = StreamId(registry.last_id);
        if registry.is_draining {
            sender.send(go_away());
        }
        registry.streams.insert(id, Stream { sender, rooms: HashSet::new() });
        (id, queue)
    }

    /// Removes a stream. Returns the rooms that have no subscriber any more.
    pub(crate) fn detach(&self, id: StreamId) -> Vec<RoomId> {
        let mut registry = self.lock();
        let Some(stream) = registry.streams.remove(&id) else { return Vec::new() };
        stream.rooms.into_iter().filter(|&room_id| registry.unsubscribe(id, room_id)).collect()
    }

    /// Subscribes a stream to a room.
    pub(crate) fn subscribe(&self, id: StreamId, room_id: RoomId) {
        let mut registry = self.lock();
        let Some(stream) = registry.streams.get_mut(&id) else { return };
        if stream.rooms.insert(room_id) {
            registry.rooms.entry(room_id).or_default().streams.push(id);
        }
    }

    /// Ends a subscription. Returns true if the room has no subscriber any more.
    pub(crate) fn unsubscribe(&self, id: StreamId, room_id: RoomId) -> bool {
        let mut registry = self.lock();
        let was_subscribed =
            registry.streams.get_mut(&id).is_some_and(|stream| stream.rooms.remove(&room_id));
        was_subscribed && registry.unsubscribe(id, room_id)
    }

    /// Returns the rooms with subscribers.
    pub(crate) fn rooms(&self) -> Vec<RoomId> {
        self.lock().rooms.keys().copied().collect()
    }

    /// Returns true if a stream subscribes to the room.
    pub(crate) fn has_subscribers(&self, room_id: RoomId) -> bool {
        self.lock().rooms.contains_key(&room_id)
    }

    /// Delivers events to the subscribers of their rooms, and answers to the streams of their
    /// requests. A stream gets all of it in one response, events first, so that a sender's own
    /// event precedes the answer.
    pub(crate) fn deliver(&self, events: &[Event], answers: Vec<(StreamId, Answer)>) {
        let mut responses = Responses::new();
        let mut registry = self.lock();
        for event in events {
            let room_id = RoomId::new(event.room_id);
            let Some(subscribers) = registry.rooms.get_mut(&room_id) else { continue };
            subscribers.announced_seq = subscribers.announced_seq.max(event.seq);
            for id in &subscribers.streams {
                responses.entry(*id).or_default().events.push(event.clone());
            }
        }
        for (id, answer) in answers {
            responses.entry(id).or_default().answers.push(answer);
        }
        registry.send(responses);
    }

    /// Delivers answers.
    pub(crate) fn answer(&self, id: StreamId, answers: impl Iterator<Item = Answer>) {
        self.deliver(&[], answers.map(|answer| (id, answer)).collect());
    }

    /// Delivers ended memberships to the subscribers of their rooms.
    pub(crate) fn deliver_ends(&self, ends: &[MembershipEnd]) {
        let mut responses = Responses::new();
        let registry = self.lock();
        for end in ends {
            let Some(subscribers) = registry.rooms.get(&end.room_id) else { continue };
            for id in &subscribers.streams {
                responses.entry(*id).or_default().ends.push(encode::membership_end(end));
            }
        }
        registry.send(responses);
    }

    /// Delivers each `last_seq` that is above the delivered events, so that the gateways read what
    /// they miss. Returns how many there were.
    pub(crate) fn deliver_last_seqs(
        &self,
        last_seqs: impl IntoIterator<Item = (RoomId, i64)>,
    ) -> usize {
        let mut responses = Responses::new();
        let mut count = 0;
        let mut registry = self.lock();
        for (room_id, last_seq) in last_seqs {
            let Some(subscribers) = registry.rooms.get_mut(&room_id) else { continue };
            if last_seq <= subscribers.announced_seq {
                continue;
            }
            subscribers.announced_seq = last_seq;
            count += 1;
            for id in &subscribers.streams {
                let last_seq = RoomLastSeq { room_id: room_id.get(), last_seq };
                responses.entry(*id).or_default().last_seqs.push(last_seq);
            }
        }
        registry.send(responses);
        count
    }

    /// Closes every stream. All gateways attach again, and have their memberships checked again.
    pub(crate) fn close_all(&self) {
        for stream in self.lock().streams.values() {
            stream.sender.close();
        }
    }

    /// Asks all gateways to attach elsewhere as soon as the process drains.
    pub(crate) fn go_away_on_drain(&self, lifecycle: &Lifecycle) {
        let (streams, draining) = (self.clone(), lifecycle.draining().clone());
        lifecycle.spawn_background("go away", async move {
            draining.cancelled().await;
            let mut registry = streams.lock();
            registry.is_draining = true;
            for stream in registry.streams.values() {
                stream.sender.send(go_away());
            }
            Ok(())
        });
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Removes a stream from the subscribers of a room. Returns true if it was the last one.
    fn unsubscribe(&mut self, id: StreamId, room_id: RoomId) -> bool {
        let Some(subscribers) = self.rooms.get_mut(&room_id) else { return false };
        subscribers.streams.retain(|&stream| stream != id);
        let is_last = subscribers.streams.is_empty();
        if is_last {
            self.rooms.remove(&room_id);
        }
        is_last
    }

    fn send(&self, responses: Responses) {
        for (id, response) in responses {
            if let Some(stream) = self.streams.get(&id) {
                stream.sender.send(response);
            }
        }
    }
}

fn go_away() -> AttachResponse {
    AttachResponse { going_away: true, ..AttachResponse::default() }
}
