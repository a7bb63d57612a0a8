//! The sizes and durations of a run.

use std::time::Duration;

use serde::Serialize;

/// The sizes and durations of all scenarios.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scale {
    /// How often each scenario and its baseline run, in turn.
    pub rounds: usize,
    /// The time before anything is measured.
    pub warm_up: Duration,
    /// The duration of one load.
    pub duration: Duration,
    /// The rooms of *many rooms*.
    pub rooms: usize,
    /// The subscribers of *fan-out*.
    pub subscribers: usize,
    /// Rooms with 20 members each, who are contacts of the owner.
    pub groups: usize,
    /// Messages a second in all groups together.
    pub rate: u32,
    /// The sockets of *idle* and *reconnect storm*.
    pub connections: usize,
    /// The duration of one point of a curve, and of loads of which there are many.
    pub point: Duration,
    /// The sizes of *growth*.
    pub growth: Growth,
}

/// What *growth* adds to the tables.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Growth {
    /// Users, and a room of each.
    pub rooms: u64,
    /// Messages in these rooms together; a tenth of that in one more room.
    pub messages: u64,
    /// Members of one room.
    pub members: u64,
    /// Rooms and contacts of one user.
    pub busy: u64,
}

impl Scale {
    /// The scale that the goals refer to.
    pub const FULL: Self = Self {
        rounds: 3,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(10),
        rooms: 1_000,
        subscribers: 1_000,
        groups: 100,
        rate: 1_000,
        connections: 10_000,
        point: Duration::from_secs(5),
        growth: Growth { rooms: 100_000, messages: 9_000_000, members: 50_000, busy: 10_000 },
    };

    /// The same sizes in one short round, but for a fraction of the growth.
    pub const QUICK: Self = Self {
        rounds: 1,
        warm_up: Duration::from_millis(500),
        duration: Duration::from_secs(3),
        point: Duration::from_secs(1),
        growth: Growth { rooms: 5_000, messages: 100_000, members: 2_000, busy: 500 },
        ..Self::FULL
    };
}
