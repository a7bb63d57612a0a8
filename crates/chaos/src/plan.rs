//! What a run does and when, all from one seed: who is in which room, which faults follow each
//! other, who is removed, who meets. What the machine adds, such as how long a restart takes, is
//! not part of it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::nemesis::{self, Extent, Fault};

/// Replicas of every part.
pub(crate) const REPLICAS: usize = 2;
/// Between two faults: longer than everybody may take to be live again.
const CALM: Duration = Duration::from_millis(5_300);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Each has a socket that sends and one that is subscribed.
    pub(crate) users: usize,
    pub(crate) rooms: usize,
    /// Of each room, the owner included.
    pub(crate) members: usize,
    /// Messages a second, of all senders together, while nothing is broken.
    pub(crate) rate: u32,
    /// Faults are begun for so long; every kind at least once, unless it is nothing.
    pub(crate) duration: Duration,
    pub(crate) extent: Extent,
    pub(crate) waits: Waits,
}

/// How long a run waits, beside its faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// Before anything is hurt, and twice as long after everything is healed.
    pub(crate) calm: Duration,
    /// For what was begun to be answered, once all faults are over.
    pub(crate) finishing: Duration,
    /// For everybody to see the last message of every room.
    pub(crate) quiet: Duration,
}

impl Waits {
    const USUAL: Self = Self {
        calm: Duration::from_secs(3),
        finishing: Duration::from_secs(30),
        quiet: Duration::from_secs(20),
    };
}

impl Scale {
    /// What can be run before every change.
    pub(crate) const QUICK: Self = Self {
        users: 30,
        rooms: 10,
        members: 9,
        rate: 60,
        duration: Duration::from_secs(60),
        extent: Extent::Sample,
        waits: Waits::USUAL,
    };
    /// What a claim rests on.
    pub(crate) const FULL: Self = Self {
        users: 150,
        rooms: 30,
        members: 15,
        rate: 240,
        duration: Duration::from_secs(570),
        extent: Extent::Everything,
        waits: Waits::USUAL,
    };
}

/// Everything that is decided beforehand. People are counted from 0.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) scale: Scale,
    /// Whether both gateways know each replica of messaging by the same address, so that they agree
    /// on the homes of rooms.
    pub(crate) homes_agree: bool,
    /// The members of each room; the first is the owner.
    pub(crate) rooms: Vec<Vec<usize>>,
    pub(crate) faults: Vec<Scheduled>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) meetings: Vec<Meeting>,
}

/// Faults that come together, and their time.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    /// Since the end of the one before.
    pub(crate) after: Duration,
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasts: Duration,
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&names.join("; "))
    }
}

/// An owner removes a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    /// Since the start.
    pub(crate) at: Duration,
    pub(crate) room: usize,
    pub(crate) person: usize,
}

/// Two people become contacts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meeting {
    /// Since the start.
    pub(crate) at: Duration,
    pub(crate) one: usize,
    pub(crate) other: usize,
}

impl Plan {
    /// The same seed and scale make the same plan.
    pub(crate) fn new(seed: u64, scale: Scale) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rooms = rooms(&mut rng, scale);
        // So that of two runs in a row each is once.
        let homes_agree = seed.is_multiple_of(2);
        let faults = faults(&mut rng, scale, homes_agree);
        let length = faults.iter().map(|scheduled| scheduled.after + scheduled.lasts).sum();
        let removals = removals(&mut rng, &rooms, length);
        let meetings = meetings(&mut rng, &rooms, scale.users, length);
        Self { seed, scale, homes_agree, rooms, faults, removals, meetings }
    }

    /// A generator of its own for each client.
    pub(crate) fn rng_of(&self, client: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (client + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

fn rooms(rng: &mut StdRng, scale: Scale) -> Vec<Vec<usize>> {
    let mut people: Vec<usize> = (0..scale.users).collect();
    let mut room = |owner: usize| {
        people.shuffle(rng);
        let others = people.iter().copied().filter(|person| *person != owner);
        std::iter::once(owner).chain(others.take(scale.members - 1)).collect()
    };
    (0..scale.rooms).map(|index| room(index % scale.users)).collect()
}

/// Whole rounds at first, so that there is every kind, and then what the time allows.
fn faults(rng: &mut StdRng, scale: Scale, homes_agree: bool) -> Vec<Scheduled> {
    let mut schedule: Vec<Scheduled> = Vec::new();
    let mut length = Duration::ZERO;
    while length < scale.duration {
        let is_first = schedule.is_empty();
        for faults in nemesis::round(rng, scale.extent, homes_agree) {
            let after = CALM + Duration::from_millis(rng.random_range(0..200));
            let lasts = faults.iter().map(|fault| fault.duration(rng, scale.extent)).max();
            let lasts = lasts.unwrap_or_default();
            if is_first || length < scale.duration {
                length += after + lasts;
                schedule.push(Scheduled { after, faults, lasts });
            }
        }
    }
    schedule
}

/// One every 8 s, never an owner, never the same twice; enough members stay for every room to be
/// watched.
fn removals(rng: &mut StdRng, rooms: &[Vec<usize>], length: Duration) -> Vec<Removal> {
    let mut candidates: Vec<(usize, usize)> = Vec::new();
    for (room, members) in rooms.iter().enumerate() {
        candidates
            .extend(members.iter().skip(1).take(members.len() / 2).map(|person| (room, *person)));
    }
    candidates.shuffle(rng);
    let times = (1..).map(|number| Duration::from_secs(8) * number).take_while(|at| *at < length);
    times.zip(candidates).map(|(at, (room, person))| Removal { at, room, person }).collect()
}

/// One every second, between people who do not know each other through a room's owner.
fn meetings(
    rng: &mut StdRng,
    rooms: &[Vec<usize>],
    people: usize,
    length: Duration,
) -> Vec<Meeting> {
    let pair = |one: usize, other: usize| (one.min(other), one.max(other));
    let mut known: BTreeSet<(usize, usize)> = BTreeSet::new();
    for members in rooms {
        known.extend(members.iter().skip(1).map(|member| pair(members[0], *member)));
    }
    let mut strangers: Vec<(usize, usize)> = Vec::new();
    for one in 0..people {
        strangers.extend(
            (one + 1..people).map(|other| (one, other)).filter(|pair| !known.contains(pair)),
        );
    }
    strangers.shuffle(rng);
    let times = (1..).map(|number| Duration::from_secs(1) * number).take_while(|at| *at < length);
    times.zip(strangers).map(|(at, (one, other))| Meeting { at, one, other }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::Hindrance;

    #[test]
    fn the_same_seed_makes_the_same_plan_and_another_seed_another_one() {
        let text = |seed| format!("{:?}", Plan::new(seed, Scale::QUICK));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn a_run_has_every_kind_of_fault_and_its_length_is_bounded() {
        for (scale, most) in [(Scale::QUICK, 140), (Scale::FULL, 590)] {
            let plan = Plan::new(4, scale);
            let kinds: BTreeSet<String> =
                plan.faults.iter().flat_map(|it| &it.faults).map(kind).collect();
            assert_eq!(kinds.len(), 23, "{kinds:?}");
            let length: Duration = plan.faults.iter().map(|it| it.after + it.lasts).sum();
            assert!(length >= scale.duration && length.as_secs() < most, "{length:?}");
        }
    }

    /// The name of a fault without what is taken by chance.
    fn kind(fault: &Fault) -> String {
        match fault {
            Fault::Hinder { hindrance: Hindrance::Cut(_), .. } => "cut".to_owned(),
            Fault::Hinder { hindrance, .. } => hindrance.to_string(),
            _ => fault.to_string().replace(|character: char| character.is_ascii_digit(), ""),
        }
    }

    #[test]
    fn owners_stay_and_nobody_is_removed_twice() {
        let plan = Plan::new(3, Scale::FULL);
        let removed: BTreeSet<_> =
            plan.removals.iter().map(|removal| (removal.room, removal.person)).collect();
        assert_eq!(removed.len(), plan.removals.len());
        assert!(!removed.is_empty());
        assert!(removed.iter().all(|(room, person)| plan.rooms[*room][0] != *person));
    }
}
