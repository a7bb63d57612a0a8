//! How large a run is.

use std::time::Duration;

use serde::Serialize;

/// The sizes and times of all scenarios.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scale {
    /// How often each scenario and its yardstick are run, in turn.
    pub(crate) rounds: usize,
    /// Before anything counts.
    pub(crate) warm_up: Duration,
    /// Of one run of one load.
    pub(crate) duration: Duration,
    /// Of *many rooms*.
    pub(crate) rooms: usize,
    /// Of *fan-out*.
    pub(crate) subscribers: usize,
    /// Rooms of 20 people each who know each other.
    pub(crate) circles: usize,
    /// Messages a second in all circles together.
    pub(crate) rate: u32,
    /// Sockets of *idle* and *herd*.
    pub(crate) connections: usize,
    /// Of one point of a curve, and of loads of which there are many.
    pub(crate) point: Duration,
}

impl Scale {
    /// What the goals are about.
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(10),
        rooms: 1_000,
        subscribers: 1_000,
        circles: 100,
        rate: 1_000,
        connections: 10_000,
        point: Duration::from_secs(5),
    };

    /// The same sizes, but everything only once and not for long.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        warm_up: Duration::from_millis(500),
        duration: Duration::from_secs(3),
        point: Duration::from_secs(1),
        ..Self::FULL
    };
}
