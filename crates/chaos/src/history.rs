//! What happened, as clients saw it and as the store has it at the end. Plain data, and the only
//! input of the checker.
//!
//! Times are microseconds of the wall clock. Clients and servers share one machine, so their clocks
//! can be compared.

#![expect(missing_docs, reason = "a comment says only what a name does not")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that one run has recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order in which each sender sent.
    pub sends: Vec<Send>,
    pub views: Vec<View>,
    pub removals: Vec<Removal>,
    pub ended_sessions: Vec<EndedSession>,
    /// The rooms at the end, by id.
    pub stored: BTreeMap<i64, StoredRoom>,
    /// The pairs of contacts at the end, the lower id first.
    pub contacts: BTreeSet<(i64, i64)>,
    /// The members of each system room at the end, the lower id first.
    pub system_rooms: Vec<(i64, i64)>,
    pub faults: Vec<FaultRecord>,
    pub footprints: Vec<Footprint>,
}

/// One message that a client sent, however often it had to repeat it.
#[derive(Clone, Debug)]
pub struct Send {
    pub sender: i64,
    pub room: i64,
    /// Its `client_msg_id`, and the first word of its content. No other message has it.
    pub key: String,
    /// Equal for messages that were sent together, without waiting for answers in between.
    pub burst: usize,
    /// How often it was sent. The first attempts of a burst share one connection.
    pub attempts: u32,
    pub result: SendResult,
    /// An edit or deletion of the message, attempted once.
    pub change: Option<Change>,
}

/// What the sender knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendResult {
    Acknowledged {
        message: i64,
        seq: i64,
    },
    /// The sender is no longer a member.
    Refused,
    /// There was no answer even after all faults.
    Unanswered,
}

/// A change of a message by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// True if it was answered with success. Otherwise its result is unknown.
    pub is_confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Edit,
    Delete,
}

impl ChangeKind {
    /// The content of a message after its edit.
    pub fn edited(key: &str) -> String {
        format!("{key} edited")
    }
}

/// One room as one subscriber saw it over all its connections, from the first event of the room.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub user: i64,
    pub room: i64,
    /// What arrived, in order.
    pub entries: Vec<Entry>,
}

impl View {
    /// The events, without resyncs.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(event) => Some(event),
            Entry::Resync { .. } => None,
        })
    }
}

/// What arrived at a subscriber.
#[derive(Clone, Debug)]
pub enum Entry {
    Event(Event),
    /// The answer that the client must reload through history.
    Resync {
        /// No event up to this number follows.
        last_seq: i64,
    },
}

/// An event of a room.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: i64,
    pub message: i64,
    pub delivered_at: i64,
    pub kind: EventKind,
}

#[derive(Clone, Debug)]
pub enum EventKind {
    Created {
        content: String,
        /// When it was committed.
        created_at: i64,
    },
    Edited {
        content: String,
        /// When it was committed.
        edited_at: i64,
    },
    Deleted,
}

impl Event {
    /// When it was committed, at the earliest. A deletion carries no time.
    pub fn committed_at(&self) -> Option<i64> {
        match &self.kind {
            EventKind::Created { created_at, .. } => Some(*created_at),
            EventKind::Edited { edited_at, .. } => Some(*edited_at),
            EventKind::Deleted => None,
        }
    }
}

/// A membership that was ended.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub user: i64,
    pub room: i64,
    pub answered_at: i64,
}

/// A session that was ended, and what it still got.
#[derive(Clone, Debug)]
pub struct EndedSession {
    pub user: i64,
    pub session: i64,
    /// When the call was answered that ended it.
    pub answered_at: i64,
    /// When each request began that was answered with success after the end.
    pub served: Vec<i64>,
    /// When each message was committed that its socket got.
    pub delivered: Vec<i64>,
    /// When its socket was closed, for whatever reason.
    pub closed_at: Option<i64>,
    pub watched_until: i64,
}

/// A room at the end.
#[derive(Clone, Debug, Default)]
pub struct StoredRoom {
    /// The messages of its public history, by id.
    pub messages: BTreeMap<i64, StoredMessage>,
    /// The numbers of all creations and last changes in the store, also of deleted messages.
    pub seqs: BTreeSet<i64>,
    /// The highest number that the room has given out.
    pub last_seq: i64,
}

/// A message in the public history.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    pub seq: i64,
    pub content: String,
}

/// A fault that was injected and ended.
#[derive(Clone, Debug)]
pub struct FaultRecord {
    pub name: String,
    pub begun_at: i64,
    pub ended_at: i64,
    /// True if a gateway may learn late that a session has ended, or a client that its socket was
    /// closed.
    pub delays_ends_of_sessions: bool,
    /// When the next fault began, or the clients stopped.
    pub observed_until: i64,
    /// What misbehaving clients got against the contract.
    pub breaches: Vec<String>,
}

impl FaultRecord {
    /// How long the fault lasted.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.ended_at - self.begun_at).unwrap_or(0))
    }
}

/// The resources of one process over the run.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    pub process: String,
    /// In the order of time. A paused or dead process gives none.
    pub samples: Vec<Sample>,
}

/// The resources of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: i64,
    pub stage: Stage,
    /// The process id, which differs after a restart.
    pub incarnation: u32,
    pub usage: Usage,
}

/// A stage of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before any client.
    Idle,
    /// While clients are at work.
    Load,
    /// After all clients.
    End,
}

/// Resources that can leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokio tasks.
    pub tasks: u64,
    /// File descriptors, most of them connections.
    pub descriptors: u64,
    /// Resident memory in bytes.
    pub memory: u64,
}

impl Footprint {
    /// The resources before any client.
    pub fn idle(&self) -> Option<Usage> {
        self.samples.iter().find(|sample| sample.stage == Stage::Idle).map(|sample| sample.usage)
    }

    /// The last resources after all clients.
    pub fn end(&self) -> Option<Usage> {
        self.samples.last().filter(|sample| sample.stage == Stage::End).map(|sample| sample.usage)
    }

    /// The maximum of each resource.
    pub fn peak(&self) -> Usage {
        self.samples.iter().fold(Usage::default(), |peak, Sample { usage, .. }| Usage {
            tasks: peak.tasks.max(usage.tasks),
            descriptors: peak.descriptors.max(usage.descriptors),
            memory: peak.memory.max(usage.memory),
        })
    }

    /// The samples between two restarts, in the order of time.
    pub fn incarnations(&self) -> impl Iterator<Item = &[Sample]> {
        self.samples.chunk_by(|one, next| one.incarnation == next.incarnation)
    }
}
