//! What happened, as the clients saw it and as the store has it at the end. Plain data: the judge
//! needs nothing else.
//!
//! Times are microseconds of the wall clock; clients and servers share one machine, so theirs can
//! be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that one run has recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// In the order in which each sender sent.
    pub(crate) sends: Vec<Send>,
    pub(crate) views: Vec<View>,
    pub(crate) removals: Vec<Removal>,
    /// By room.
    pub(crate) stored: BTreeMap<i64, StoredRoom>,
    /// Who are contacts at the end, lower id first.
    pub(crate) contacts: BTreeSet<(i64, i64)>,
    /// The members of each system room at the end, lower id first.
    pub(crate) system_rooms: Vec<(i64, i64)>,
    pub(crate) faults: Vec<FaultRecord>,
    /// What each process of Parlance held.
    pub(crate) footprints: Vec<Footprint>,
}

/// One message that a sender wanted stored, however often it had to send it.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    pub(crate) sender: i64,
    pub(crate) room: i64,
    /// Its `client_msg_id`, and the first word of its content: no other message has it.
    pub(crate) key: String,
    /// The same for what the sender sent together, without waiting for an answer in between.
    pub(crate) burst: usize,
    /// How often it was sent. What a burst sent at the first try went over one connection.
    pub(crate) tries: u32,
    pub(crate) outcome: Outcome,
    /// An edit or a deletion of it, tried once.
    pub(crate) change: Option<Change>,
}

/// What became of a message, as its sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked {
        message: i64,
        seq: i64,
    },
    /// The sender is no member any more.
    Refused,
    /// It was never answered, although all faults were over.
    Unanswered,
}

/// A change of a message by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// Whether it was answered with success; otherwise the outcome is not known.
    pub(crate) is_confirmed: bool,
}

/// What a sender does to a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Edit,
    Delete,
}

impl ChangeKind {
    /// The content of a message after its edit.
    pub(crate) fn edited(key: &str) -> String {
        format!("{key} edited")
    }
}

/// One room as one subscriber saw it over all its connections, from the room's first event on.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) user: i64,
    pub(crate) room: i64,
    pub(crate) entries: Vec<Entry>,
}

/// What a subscriber was told about a room.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Event(Event),
    /// The server had it reload through history: nothing up to this number follows as events.
    Resync {
        head: i64,
    },
}

/// An event frame.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Of the change that it tells of.
    pub(crate) seq: i64,
    pub(crate) message: i64,
    pub(crate) delivered_at: i64,
    pub(crate) what: What,
}

/// What an event tells.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Created { content: String, created_at: i64 },
    Edited { content: String, edited_at: i64 },
    Deleted,
}

impl Event {
    /// When it was committed, at the earliest; deletions do not say so.
    pub(crate) fn committed_at(&self) -> Option<i64> {
        match &self.what {
            What::Created { created_at, .. } => Some(*created_at),
            What::Edited { edited_at, .. } => Some(*edited_at),
            What::Deleted => None,
        }
    }
}

/// A membership that was ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    pub(crate) user: i64,
    pub(crate) room: i64,
    pub(crate) answered_at: i64,
}

/// A room at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredRoom {
    /// What the public history shows, by id.
    pub(crate) messages: BTreeMap<i64, StoredMessage>,
    /// The numbers of all creations and last changes in the store, those of deleted messages
    /// included.
    pub(crate) numbers: BTreeSet<i64>,
    /// The last number taken.
    pub(crate) head: i64,
}

/// A message in the public history.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    pub(crate) seq: i64,
    pub(crate) content: String,
}

/// A fault that was injected, and ended.
#[derive(Clone, Debug)]
pub(crate) struct FaultRecord {
    pub(crate) name: String,
    pub(crate) begun_at: i64,
    pub(crate) ended_at: i64,
    /// When the next one began, or the clients stopped.
    pub(crate) observed_until: i64,
    /// What bad clients were answered that they must not be.
    pub(crate) breaches: Vec<String>,
}

impl FaultRecord {
    pub(crate) fn lasted(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.ended_at - self.begun_at).unwrap_or(0))
    }
}

/// What one process held over the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    pub(crate) process: String,
    /// In the order of time. A process that is paused or dead gives none.
    pub(crate) samples: Vec<Sample>,
}

/// What a process held at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: i64,
    pub(crate) stage: Stage,
    /// The process id: after a restart it is another one.
    pub(crate) incarnation: u32,
    pub(crate) usage: Usage,
}

/// When a sample was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before anybody came.
    Idle,
    /// While clients were at work.
    Load,
    /// After everybody had left.
    End,
}

/// What can leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) tasks: u64,
    /// Connections, above all.
    pub(crate) descriptors: u64,
    /// Resident, in bytes.
    pub(crate) memory: u64,
}

impl Footprint {
    /// Before anybody came.
    pub(crate) fn idle(&self) -> Option<Usage> {
        self.samples.iter().find(|sample| sample.stage == Stage::Idle).map(|sample| sample.usage)
    }

    /// The last one after everybody had left.
    pub(crate) fn end(&self) -> Option<Usage> {
        self.samples.last().filter(|sample| sample.stage == Stage::End).map(|sample| sample.usage)
    }

    /// The most of each.
    pub(crate) fn peak(&self) -> Usage {
        self.samples.iter().fold(Usage::default(), |peak, Sample { usage, .. }| Usage {
            tasks: peak.tasks.max(usage.tasks),
            descriptors: peak.descriptors.max(usage.descriptors),
            memory: peak.memory.max(usage.memory),
        })
    }

    /// The samples of each incarnation, in the order of time.
    pub(crate) fn incarnations(&self) -> impl Iterator<Item = &[Sample]> {
        self.samples.chunk_by(|one, next| one.incarnation == next.incarnation)
    }
}
