//! The clients: what people do over sockets and REST while Parlance is being hurt. Each task
//! returns what it has recorded.

pub(crate) mod admin;
pub(crate) mod sender;
pub(crate) mod socket;
pub(crate) mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use parlance_core::Clock;
use tokio::sync::watch;

use crate::api::{Api, Person};
use crate::misbehaving::Villains;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) clock: Clock,
    pub(crate) people: Vec<Person>,
    /// With the numbers of their members, the owner first.
    pub(crate) rooms: Vec<(i64, Vec<usize>)>,
    /// If any are to come.
    pub(crate) villains: Option<Villains>,
    pub(crate) progress: Progress,
}

/// What a person who waits is shown, and what the run waits for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) acked: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Subscribers that have seen the last message of a room.
    pub(crate) ends_seen: AtomicUsize,
}

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Begin nothing new, but finish what was begun.
    Finishing,
    /// Leave.
    Over,
}

/// How clients learn of it.
pub(crate) type Phases = watch::Receiver<Phase>;

/// How the last message of each room begins.
pub(crate) const END: &str = "end-of-room-";

impl World {
    /// The rooms of a person.
    pub(crate) fn rooms_of(&self, person: usize) -> Vec<i64> {
        self.rooms
            .iter()
            .filter(|(_, members)| members.contains(&person))
            .map(|(room, _)| *room)
            .collect()
    }
}

/// Waits until clients are to do this.
pub(crate) async fn reached(phases: &mut Phases, phase: Phase) {
    // Without the run there is nothing left to do.
    let _ = phases.wait_for(|present| *present >= phase).await;
}

/// Shared by all tasks.
pub(crate) type SharedWorld = Arc<World>;
