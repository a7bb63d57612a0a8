//! The gateways attached to this replica: who wants to hear of which room, and the queue towards
//! each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use parlance_proto::messaging::{Answer, AttachResponse, RoomLastSeq};
use parlance_runtime::Lifecycle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::grpc::encode;
use crate::model::{Event, MembershipEnd};

/// What may wait for one gateway, in bytes of content and in batches. Beyond it the gateway is cut
/// off: it attaches again and catches up, which costs less than remembering everything for a reader
/// that does not read.
const MAX_QUEUED_BYTES: usize = 64 << 20;
const MAX_QUEUED_BATCHES: usize = 4_096;

/// Names one attached stream for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkId(u64);

/// All attached gateways. Cheap to clone. The lock is held for map look-ups and for copying events
/// into queues, never across an await.
#[derive(Clone, Debug, Default)]
pub struct Gateways {
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    last_id: u64,
    links: HashMap<LinkId, Link>,
    rooms: HashMap<RoomId, Audience>,
    /// Set when the process drains: who attaches now is told to go at once.
    is_leaving: bool,
}

/// The gateways that want to hear of one room.
#[derive(Debug, Default)]
struct Audience {
    links: Vec<LinkId>,
    /// The highest `seq` passed on; the tail compares it with the store.
    passed_on: i64,
}

/// The sending side of one stream.
#[derive(Debug)]
struct Link {
    queue: mpsc::Sender<AttachResponse>,
    queued_bytes: Arc<AtomicUsize>,
    cut: CancellationToken,
    rooms: HashSet<RoomId>,
}

/// The receiving side of one stream.
pub(crate) struct Outbox {
    pub(crate) id: LinkId,
    queue: mpsc::Receiver<AttachResponse>,
    queued_bytes: Arc<AtomicUsize>,
    cut: CancellationToken,
}

impl Gateways {
    /// Takes in a gateway.
    pub(crate) fn attach(&self) -> Outbox {
        let (sender, queue) = mpsc::channel(MAX_QUEUED_BATCHES);
        let (queued_bytes, cut) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let link = Link {
            queue: sender,
            queued_bytes: queued_bytes.clone(),
            cut: cut.clone(),
            rooms: HashSet::new(),
        };
        let mut registry = self.lock();
        registry.last_id += 1;
        let id = LinkId(registry.last_id);
        if registry.is_leaving {
            link.send(goodbye());
        }
        registry.links.insert(id, link);
        Outbox { id, queue, queued_bytes, cut }
    }

    /// Forgets a gateway; the rooms nobody listens to any more.
    pub(crate) fn detach(&self, id: LinkId) -> Vec<RoomId> {
        let mut registry = self.lock();
        let Some(link) = registry.links.remove(&id) else { return Vec::new() };
        link.rooms.into_iter().filter(|&room_id| registry.remove_listener(id, room_id)).collect()
    }

    /// From now on the gateway hears of the room.
    pub(crate) fn listen(&self, id: LinkId, room_id: RoomId) {
        let mut registry = self.lock();
        let Some(link) = registry.links.get_mut(&id) else { return };
        if link.rooms.insert(room_id) {
            registry.rooms.entry(room_id).or_default().links.push(id);
        }
    }

    /// The gateway no longer hears of the room. Whether it was the last one to do so.
    pub(crate) fn stop_listening(&self, id: LinkId, room_id: RoomId) -> bool {
        let mut registry = self.lock();
        let was_listening =
            registry.links.get_mut(&id).is_some_and(|link| link.rooms.remove(&room_id));
        was_listening && registry.remove_listener(id, room_id)
    }

    /// The rooms somebody listens to.
    pub(crate) fn rooms(&self) -> Vec<RoomId> {
        self.lock().rooms.keys().copied().collect()
    }

    /// Whether somebody listens to the room.
    pub(crate) fn has_listeners(&self, room_id: RoomId) -> bool {
        self.lock().rooms.contains_key(&room_id)
    }

    /// Passes events on to whoever listens, and answers to whoever asked: one batch for each
    /// gateway concerned, events first, so that a sender's own event precedes its answer.
    pub(crate) fn deliver(&self, events: &[Event], answers: Vec<(LinkId, Answer)>) {
        let mut batches: HashMap<LinkId, AttachResponse> = HashMap::new();
        let mut registry = self.lock();
        for event in events {
            let Some(audience) = registry.rooms.get_mut(&event.room_id) else { continue };
            audience.passed_on = audience.passed_on.max(event.seq);
            for id in &audience.links {
                batches.entry(*id).or_default().events.push(encode::event(event));
            }
        }
        for (id, answer) in answers {
            batches.entry(id).or_default().answers.push(answer);
        }
        registry.send(batches);
    }

    /// Tells those who listen to the rooms that memberships have ended.
    pub(crate) fn deliver_ends(&self, ends: &[MembershipEnd]) {
        let mut batches: HashMap<LinkId, AttachResponse> = HashMap::new();
        let registry = self.lock();
        for end in ends {
            for id in registry.rooms.get(&end.room_id).iter().flat_map(|audience| &audience.links) {
                batches.entry(*id).or_default().ends.push(encode::membership_end(end));
            }
        }
        registry.send(batches);
    }

    /// Tells those who listen of heads above what was passed on to them, so that they fetch what
    /// they miss; how many there were.
    pub(crate) fn deliver_heads(&self, heads: impl IntoIterator<Item = (RoomId, i64)>) -> usize {
        let mut batches: HashMap<LinkId, AttachResponse> = HashMap::new();
        let mut told = 0;
        let mut registry = self.lock();
        for (room_id, last_seq) in heads {
            let Some(audience) = registry.rooms.get_mut(&room_id) else { continue };
            if last_seq <= audience.passed_on {
                continue;
            }
            audience.passed_on = last_seq;
            told += 1;
            for id in &audience.links {
                let head = RoomLastSeq { room_id: room_id.get(), last_seq };
                batches.entry(*id).or_default().last_seqs.push(head);
            }
        }
        registry.send(batches);
        told
    }

    /// Cuts every stream: all gateways attach again and have their memberships checked anew.
    pub(crate) fn cut_all(&self) {
        for link in self.lock().links.values() {
            link.cut.cancel();
        }
    }

    /// Asks all gateways to go elsewhere as soon as the process drains.
    pub(crate) fn say_goodbye_on_drain(&self, lifecycle: &Lifecycle) {
        let (gateways, draining) = (self.clone(), lifecycle.draining().clone());
        lifecycle.spawn_background("goodbye", async move {
            draining.cancelled().await;
            let mut registry = gateways.lock();
            registry.is_leaving = true;
            for link in registry.links.values() {
                link.send(goodbye());
            }
            Ok(())
        });
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Takes a gateway out of a room's audience; whether it was the last one.
    fn remove_listener(&mut self, id: LinkId, room_id: RoomId) -> bool {
        let Some(audience) = self.rooms.get_mut(&room_id) else { return false };
        audience.links.retain(|&listener| listener != id);
        let is_last = audience.links.is_empty();
        if is_last {
            self.rooms.remove(&room_id);
        }
        is_last
    }

    fn send(&self, batches: HashMap<LinkId, AttachResponse>) {
        for (id, batch) in batches {
            if let Some(link) = self.links.get(&id) {
                link.send(batch);
            }
        }
    }
}

impl Link {
    fn send(&self, batch: AttachResponse) {
        let bytes = weight(&batch);
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if queued > MAX_QUEUED_BYTES || self.queue.try_send(batch).is_err() {
            self.cut.cancel();
        }
    }
}

impl Outbox {
    /// The next batch; nothing once the stream was cut or the gateway is forgotten.
    pub(crate) async fn next(&mut self) -> Option<AttachResponse> {
        let batch = self.cut.run_until_cancelled(self.queue.recv()).await??;
        self.queued_bytes.fetch_sub(weight(&batch), Ordering::Relaxed);
        Some(batch)
    }

    /// Cancelled when the stream is to end at once.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

fn goodbye() -> AttachResponse {
    AttachResponse { going_away: true, ..AttachResponse::default() }
}

/// About how many bytes a batch takes up.
fn weight(batch: &AttachResponse) -> usize {
    const OVERHEAD: usize = 128;
    let events: usize =
        batch.events.iter().map(|event| OVERHEAD + encode::content_bytes(event)).sum();
    events + OVERHEAD * (1 + batch.ends.len() + batch.answers.len() + batch.last_seqs.len())
}
