//! What a run does and when, all from one seed: the members of each room, the order of faults, the
//! removals, the new contacts. What the machine adds, such as the time of a restart, is not part of
//! it.

#![expect(missing_docs, reason = "a comment says only what a name does not")]

use std::collections::BTreeSet;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::nemesis::{self, Coverage, Fault, ScheduledFaults};

/// Time between two faults: longer than subscribers may take to be live again.
const MIN_FAULT_GAP: Duration = Duration::from_millis(5_300);
const REMOVAL_INTERVAL: Duration = Duration::from_secs(8);
const NEW_CONTACT_INTERVAL: Duration = Duration::from_secs(1);

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Users. Each has one connection that sends and one that is subscribed.
    pub users: usize,
    pub rooms: usize,
    /// Members of each room, the owner included.
    pub members: usize,
    /// Messages a second, of all senders together, without faults.
    pub rate: u32,
    /// How long faults are injected. Unless it is zero, each kind occurs at least once.
    pub duration: Duration,
    pub coverage: Coverage,
    pub waits: Waits,
}

/// How long a run waits outside its faults.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Before the first fault, and twice as long after the last one.
    pub calm: Duration,
    /// For the answers to everything that was sent, after all faults.
    pub finishing: Duration,
    /// For every subscriber to see the last message of each room.
    pub quiet: Duration,
}

impl Waits {
    /// The waits of `make chaos`.
    pub const DEFAULT: Self = Self {
        calm: Duration::from_secs(3),
        finishing: Duration::from_secs(30),
        quiet: Duration::from_secs(20),
    };
}

impl Scale {
    /// Small enough to run before every change.
    pub const QUICK: Self = Self {
        users: 30,
        rooms: 10,
        members: 9,
        rate: 60,
        duration: Duration::from_secs(60),
        coverage: Coverage::Sample,
        waits: Waits::DEFAULT,
    };
    /// What the published figures come from.
    pub const FULL: Self = Self {
        users: 150,
        rooms: 30,
        members: 15,
        rate: 240,
        duration: Duration::from_secs(570),
        coverage: Coverage::Full,
        waits: Waits::DEFAULT,
    };
}

/// Everything that is decided before a run. Users and rooms are counted from 0.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub scale: Scale,
    /// True if both gateways know each replica of messaging by the same address, so that they agree
    /// on the owner replicas of rooms.
    pub owners_agree: bool,
    /// The members of each room, the owner first.
    pub rooms: Vec<Vec<usize>>,
    pub faults: Vec<ScheduledFaults>,
    pub removals: Vec<Removal>,
    pub new_contacts: Vec<NewContact>,
}

/// An owner removes a member.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// Time since the start.
    pub at: Duration,
    pub room: usize,
    pub user: usize,
}

/// Two users become contacts.
#[derive(Clone, Copy, Debug)]
pub struct NewContact {
    /// Time since the start.
    pub at: Duration,
    /// Invites.
    pub one: usize,
    /// Accepts.
    pub other: usize,
}

impl Plan {
    /// Returns the same plan for the same seed and scale.
    pub fn new(seed: u64, scale: Scale) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rooms = rooms(&mut rng, scale);
        // Of two successive seeds, one has each value.
        let owners_agree = seed.is_multiple_of(2);
        let faults = faults(&mut rng, scale, owners_agree);
        let length = faults.iter().map(|scheduled| scheduled.after + scheduled.duration).sum();
        let removals = removals(&mut rng, &rooms, length);
        let new_contacts = new_contacts(&mut rng, &rooms, scale.users, length);
        Self { seed, scale, owners_agree, rooms, faults, removals, new_contacts }
    }

    /// True if a fault needs the accounts of misbehaving clients.
    pub(crate) fn has_misbehaving_clients(&self) -> bool {
        let mut faults = self.faults.iter().flat_map(|scheduled| &scheduled.faults);
        faults.any(|fault| matches!(fault, Fault::Misbehave(_)))
    }
}

fn rooms(rng: &mut StdRng, scale: Scale) -> Vec<Vec<usize>> {
    let mut users: Vec<usize> = (0..scale.users).collect();
    let mut room = |owner: usize| {
        users.shuffle(rng);
        let others = users.iter().copied().filter(|user| *user != owner);
        std::iter::once(owner).chain(others.take(scale.members - 1)).collect()
    };
    (0..scale.rooms).map(|index| room(index % scale.users)).collect()
}

/// Returns one whole round, so that each kind occurs, and more rounds until the time is over.
fn faults(rng: &mut StdRng, scale: Scale, owners_agree: bool) -> Vec<ScheduledFaults> {
    let mut schedule: Vec<ScheduledFaults> = Vec::new();
    let mut length = Duration::ZERO;
    while length < scale.duration {
        let is_first = schedule.is_empty();
        for scheduled in nemesis::round(rng, scale.coverage, owners_agree, MIN_FAULT_GAP) {
            if is_first || length < scale.duration {
                length += scheduled.after + scheduled.duration;
                schedule.push(scheduled);
            }
        }
    }
    schedule
}

/// Never removes an owner, nor the same member twice, nor more than half of a room.
fn removals(rng: &mut StdRng, rooms: &[Vec<usize>], length: Duration) -> Vec<Removal> {
    let mut candidates: Vec<(usize, usize)> = Vec::new();
    for (room, members) in rooms.iter().enumerate() {
        let removable = members.iter().skip(1).take(members.len() / 2);
        candidates.extend(removable.map(|user| (room, *user)));
    }
    candidates.shuffle(rng);
    let times = times(REMOVAL_INTERVAL, length);
    times.zip(candidates).map(|(at, (room, user))| Removal { at, room, user }).collect()
}

/// Owners of rooms and their members are contacts already.
fn new_contacts(
    rng: &mut StdRng,
    rooms: &[Vec<usize>],
    users: usize,
    length: Duration,
) -> Vec<NewContact> {
    let pair = |one: usize, other: usize| (one.min(other), one.max(other));
    let mut contacts: BTreeSet<(usize, usize)> = BTreeSet::new();
    for members in rooms {
        contacts.extend(members.iter().skip(1).map(|member| pair(members[0], *member)));
    }
    let pairs = (0..users).flat_map(|one| (one + 1..users).map(move |other| (one, other)));
    let mut candidates: Vec<_> = pairs.filter(|pair| !contacts.contains(pair)).collect();
    candidates.shuffle(rng);
    let times = times(NEW_CONTACT_INTERVAL, length);
    times.zip(candidates).map(|(at, (one, other))| NewContact { at, one, other }).collect()
}

fn times(interval: Duration, length: Duration) -> impl Iterator<Item = Duration> {
    (1..).map(move |number| interval * number).take_while(move |at| *at < length)
}
